"""``mmbert-new-fusion``: the files of a strategy of one's own, which pass the checks and train as they are.

mmbert-new-fusion my_fusion
mmbert-check-fusion my_fusion
mmbert-train -m experiment=compare_my_fusion
"""

from __future__ import annotations

import re

from mmbert.cli.scaffold import check_name, names, new_parser, run_new
from mmbert.core.errors import ConfigError

MODULE = '''\
"""{title}: what it does in a line.

    z = W_2 GELU(W_1 u + b_1) + b_2,   u = 1/|P| Σ_{{m ∈ P}} (U_m LN(v_m) + c_m),   P = the modalities a sample has

Paper: who, when, "title", where; and how this differs from it, above all where modalities are missing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbert.core.masks import masked_mean
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class {kind}(Fusion):
    """Mean of the modalities that are present, then two layers.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        hidden: width K between the layers.
        dropout: on each modality's vector.
    """

    reads_tokens = False  # fuse looks at x.pooled alone; leave this line out where it reads x.tokens and x.mask

    def __init__(self, dims: dict[str, int], out_dim: int = 128, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__(dims, out_dim)
        self.project = nn.ModuleDict({{m: Projection(d, hidden, dropout=dropout) for m, d in dims.items()}})
        self.layers = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, out_dim))

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        values = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, K)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M): True = the sample has it
        fused: Tensor = self.layers(masked_mean(values, present))
        return fused
'''

CONFIG = """\
# {title}: what it does in a line.
# Try:   mmbert-train fusion={name} fusion.hidden=128
# Sweep: mmbert-train -m experiment=compare_{name}
_target_: {name}.{kind}
out_dim: 128
hidden: 64 # width between the layers
dropout: 0.1
"""

TEST = """\
from mmbert.testing import fusion_tests
from {name} import {kind}
Test{kind} = fusion_tests({kind}, hidden=16)
"""

STUDY = """\
# @package _global_
# {title} beside the baselines, {seeds} seeds each; everything else is the default model.
# Run:  mmbert-train -m experiment=compare_{name}
# Then: mmbert-report multirun/compare_{name}
study:
  name: compare_{name}
  axes: [fusion]
  baseline: {{fusion: {baseline}}}
  metric: {metric} # what decides: test/TASK/METRIC of your own data
hydra:
  sweep:
    dir: multirun/${{study.name}}
    subdir: ${{hydra:runtime.choices.fusion}}-seed${{seed}}
  sweeper:
    params:
      fusion: {name},{baselines}
      seed: {listed}
"""


def main() -> None:
    """Entry point of the console script."""
    parser = new_parser(
        "fusion",
        "Writes NAME.py (the class), fusion/NAME.yaml (its options), test_NAME.py (the laws, for pytest) "
        "and experiments/compare_NAME.yaml (a study against the baselines) into the folder you stand in.",
    )
    parser.add_argument(
        "--metric", default="test/answer/accuracy", help="what decides the study (default: %(default)s)"
    )
    parser.add_argument(
        "--baselines", default="concat,mean", help="the first is the one to beat (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each (default: %(default)s)")
    run_new(
        parser,
        lambda args: contents(args.name, args.metric, args.baselines, args.seeds),
        "mmbert-check-fusion {name}\nmmbert-train fusion={name}",
    )


def contents(
    name: str, metric: str = "test/answer/accuracy", baselines: str = "concat,mean", seeds: int = 5
) -> dict[str, str]:
    """The files by their path, below the folder one stands in.

    Raises:
        ConfigError: the name cannot be used, or an option means nothing.
    """
    check_name(name, "strategy", ["fusion"])
    if not re.fullmatch(r"test\w*/\w+/\w+", metric):
        raise ConfigError(f"--metric {metric}: a metric of the test split is wanted, such as test/answer/accuracy.")
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: a number of at least 1 is wanted here.")
    from mmbert.cli.check_fusion import chosen_names

    compared = chosen_names(baselines)
    if not compared:
        raise ConfigError("--baselines needs a name at least: the first is what the others are compared with.")
    given = {
        **names(name),
        "metric": metric,
        "baselines": ",".join(compared),
        "baseline": compared[0],
        "seeds": seeds,
        "listed": ",".join(map(str, range(seeds))),
    }
    return {
        f"{name}.py": MODULE.format(**given),
        f"fusion/{name}.yaml": CONFIG.format(**given),
        f"test_{name}.py": TEST.format(**given),
        f"experiments/compare_{name}.yaml": STUDY.format(**given),
    }


if __name__ == "__main__":
    main()
