"""``mmbert-new-encoder``: the files of an encoder of one's own, which pass the checks and train as they are.

mmbert-new-encoder my_encoder --kind audio
mmbert-check-encoder my_encoder
mmbert-train audio=my_encoder
"""

from __future__ import annotations

from mmbert.cli.encoder_templates import TEMPLATES, Template
from mmbert.cli.scaffold import check_name, names, new_parser, run_new
from mmbert.core.errors import ConfigError, nearest

MODULE = '''\
"""{title}: what it does in a line.

Paper: who, when, "title", where; and how this differs from it.
"""

from __future__ import annotations

{imports}

{processor}class {kind}(Encoder):
    """{summary}

    Args:
        out_dim: width D of a token.
{documented}        dropout: on the tokens.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
    """

    kind = "{modality}"

    def __init__(
        self,
        out_dim: int = 64,
{arguments}        dropout: float = 0.1,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.out_dim = out_dim
{layers}        self.norm = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(dropout)
        self.freeze()

    def encode(self, inputs: Inputs) -> Encoded:
        """{shapes}"""
{encode}'''

CONFIG = """\
# @package encoders.{modality}
# {title}: what it does in a line.
# Try: mmbert-train {modality}={name} encoders.{modality}.out_dim=128
_target_: {name}.{kind}
out_dim: 64 # width of a token
{options}dropout: 0.1
frozen: false # true = no gradients, always in evaluation mode
lr_scale: 1.0 # factor on the learning rate
"""

TEST = """\
from mmbert.testing import encoder_tests
from {name} import {kind}
Test{kind} = encoder_tests({kind}, out_dim=16)
"""


def main() -> None:
    """Entry point of the console script."""
    parser = new_parser(
        "encoder",
        "Writes NAME.py (the class), KIND/NAME.yaml (its options) and test_NAME.py (the laws, for pytest) into the "
        "folder you stand in.",
    )
    parser.add_argument("--kind", default="image", help=f"what it reads: {', '.join(TEMPLATES)} (default: %(default)s)")
    run_new(
        parser,
        lambda args: contents(args.name, args.kind),
        "mmbert-check-encoder {name}\nmmbert-train {kind}={name}",
    )


def contents(name: str, kind: str = "image") -> dict[str, str]:
    """The files by their path, below the folder one stands in.

    Args:
        name: of the encoder.
        kind: what it reads, a key of ``TEMPLATES``.

    Raises:
        ConfigError: the name cannot be used, or there is no such kind.
    """
    if kind not in TEMPLATES:
        raise ConfigError(f"--kind {kind}: there is no such kind of input. {nearest(kind, TEMPLATES)}")
    check_name(name, "file", [kind])
    template: Template = TEMPLATES[kind]
    given = {**names(name), "modality": kind, **template.parts()}
    return {
        f"{name}.py": MODULE.format(**given),
        f"{kind}/{name}.yaml": CONFIG.format(**given),
        f"test_{name}.py": TEST.format(**given),
    }


if __name__ == "__main__":
    main()
