"""A class of one's own named on the command line: what it does not take is left out, what is typed must exist."""

import json
import os
import re
import subprocess
import sys
import textwrap

import pytest
from omegaconf import OmegaConf

from mmbert.cli.options import custom_class
from mmbert.cli.options.signatures import Signature, signature_of
from mmbert.core.errors import ConfigError, InputError

MINE = """
from torch import nn
import mmbert.fusion.concat as plain
from mmbert.fusion.base import Fusion
from mmbert.fusion.concat import ConcatFusion

class MyFusion(Fusion):
    def __init__(self, dims, out_dim, hidden, depth=1):
        super().__init__(dims, out_dim)
        self.project = nn.ModuleDict({m: nn.Linear(d, out_dim, bias=False) for m, d in dims.items()})

    def fuse(self, inputs):
        return sum(self.project[m](x.pooled) for m, x in inputs.items())

class Wider(ConcatFusion):
    def __init__(self, dims, out_dim=128, factor=2, **options):
        super().__init__(dims, out_dim, **options)

class Same(plain.ConcatFusion):
    pass

class Odd(nn.Module):
    pass

def add(vectors, scale=1.0):
    return scale * sum(vectors)
"""


@pytest.fixture
def mine(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    (here / "my_strategy.py").write_text(textwrap.dedent(MINE))
    yield here
    sys.modules.pop("my_strategy", None)


def test_a_signature_is_read_through_bases_and_imports(mine):
    assert signature_of("my_strategy.MyFusion").names == ("dims", "out_dim", "hidden", "depth")
    assert signature_of("my_strategy.MyFusion").required == ("dims", "out_dim", "hidden")
    wider = signature_of("my_strategy.Wider")
    assert wider.names == ("dims", "out_dim", "factor", "normalize", "dropout") and not wider.open
    assert signature_of("my_strategy.Same").names == ("dims", "out_dim", "normalize", "dropout")
    assert dict(signature_of("my_strategy.Same").constants)["reads_tokens"] is False
    assert signature_of("my_strategy.Odd") is None  # torch's own are found only by importing them
    function = signature_of("my_strategy.add")
    assert function.names == ("vectors", "scale") and not function.is_class


@pytest.mark.parametrize("name", ["MyFusion", "Wider", "Same", "add"])
def test_what_the_source_says_is_what_the_class_says(mine, name):
    read, real = signature_of(f"my_strategy.{name}"), custom_class.imported_signature(f"my_strategy.{name}")
    assert set(read.names) == set(real.names) and set(read.required) == set(real.required)


def test_what_is_not_taken_and_not_typed_is_left_out():
    def look_up(target):
        return Signature(("dims", "out_dim", "hidden"))

    cfg = OmegaConf.create({"fusion": {"_target_": "my.Class", "out_dim": 8, "num_heads": 4, "dropout": 0.1}})
    words = ["fusion._target_=my.Class", "+fusion.hidden=3", "fusion.dropout=0.5", "seed=1"]
    assert custom_class.drop_unaccepted(cfg, words, look_up) == {"fusion._target_=my.Class": ["num_heads"]}
    assert set(cfg.fusion) == {"_target_", "out_dim", "dropout"}
    assert custom_class.drop_unaccepted(cfg, ["fusion=concat"], look_up) == {}


#: Words, and what is said to them. The chosen file is conf/fusion/mean.yaml.
WRONG = [
    (["fusion._target_=my_strategy.MyFusoin"], "no 'MyFusoin'. Did you mean 'MyFusion'?"),
    (["fusion._target_=my_stategy.MyFusion"], "no module 'my_stategy'.*Did you mean 'my_strategy'?"),
    (["fusion._target_=MyFusion"], "names no class: it is written module.Class"),
    (["fusion._target_=my_strategy.MyFusion"], "MyFusion needs hidden, and nothing gives it one: .fusion.hidden=VALUE"),
    (
        ["fusion._target_=my_strategy.MyFusion", "+fusion.hiden=64"],
        ".fusion.hiden=64: my_strategy.MyFusion takes no hiden. Did you mean 'hidden'?",
    ),
    (
        ["fusion._target_=my_strategy.MyFusion", "+fusion.hidden=64", "fusion.dropout=0.2"],
        "fusion.dropout=0.2: my_strategy.MyFusion takes no dropout",
    ),
    (
        ["fusion._target_=my_strategy.MyFusion", "fusion.hidden=64"],
        "fusion.hidden=64: hidden is an option of my_strategy.MyFusion, but not of the chosen file: .fusion.hidden=64",
    ),
    (["+fusion.dropuot=0.2"], "mmbert.fusion.mean.MeanFusion takes no dropuot. Did you mean 'dropout'?"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_a_typed_word_must_fit_the_class(refused, mine, words, message):
    assert re.search(message, refused(*words))
    assert not (mine / "out").exists()


def test_a_file_of_ones_own_is_held_against_its_class_too(refused, mine):
    (mine / "fusion").mkdir()
    path = mine / "fusion" / "own.yaml"
    path.write_text("_target_: my_strategy.MyFusion\nout_dim: 8\nhiden: 3\n")
    assert "fusion.hiden: my_strategy.MyFusion takes no hiden. Did you mean 'hidden'?" in refused("fusion=own")
    path.write_text("_target_: my_strategy.MyFusion\nout_dim: 8\n")
    assert "MyFusion needs hidden" in refused("fusion=own")


def test_a_file_that_is_no_python_is_told(refused, mine):
    (mine / "slip.py").write_text("def f(:\n")
    assert "slip.py, line 1 is no Python that can be read" in refused("fusion._target_=slip.F")


@pytest.mark.slow
def test_a_sweep_over_classes_runs_and_goes_on_where_nothing_is_missing(train, tiny_words, mine):
    from mmbert.model import MultimodalModel

    words = [word for word in tiny_words if not word.startswith("hydra.run.dir")]
    base = ["-m", *words, "plots=false", "+fusion.hidden=4", "hydra.sweep.dir=sweep"]
    ended = train("fusion._target_=my_strategy.MyFusion", "seed=0,1", base=base)
    assert ended.code == 0, ended.err
    assert "of the chosen file left out, which it does not take: normalize, dropout" in ended.err
    for job in ("0", "1"):
        saved = OmegaConf.load(mine / "sweep" / job / "config.yaml")
        assert dict(saved.fusion) == {"_target_": "my_strategy.MyFusion", "out_dim": 8, "hidden": 4}
        model = json.loads((mine / "sweep" / job / "model" / "config.json").read_text())
        assert model["fusion"]["class"] == "my_strategy.MyFusion"
    with pytest.raises(InputError, match="my_strategy.MyFusion, from outside the package"):
        MultimodalModel.from_pretrained("sweep/0/model")
    model = MultimodalModel.from_pretrained("sweep/0/model", trust_custom_code=True)
    assert model.fusion.init_args["hidden"] == 4
    again = train("fusion._target_=my_strategy.MyFusion", "seed=0,1", "study.resume=true", base=base)
    assert again.code == 0 and "2 of 2 jobs are done" in again.err, again.err


def test_looking_up_raises_what_a_user_can_mend(mine):
    with pytest.raises(ConfigError, match="There is no module 'nowhere'"):
        signature_of("nowhere.Class")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["trainer=ddp_cpu", "hydra.run.dir=out/0"],
        ["-m", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10", "hydra.sweep.dir=out", "seed=0,1"],
    ],
    ids=["ddp", "submitit"],
)
def test_other_processes_find_the_class_and_leave_out_the_same(mine, tiny_words, words):
    if "-m" in words:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    base = [word for word in tiny_words if not word.startswith(("hydra.run.dir", "trainer="))]
    own = ["fusion._target_=my_strategy.MyFusion", "+fusion.hidden=4", "plots=false"]
    trainer = [] if "trainer=ddp_cpu" in words else ["trainer=cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "mmbert.cli.train", *words, *trainer, *base, *own],
        cwd=mine,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("left out, which it does not take: normalize, dropout") == 1
    for job in ("0", "1") if "-m" in words else ("0",):
        assert (mine / "out" / job / "metrics.json").is_file()
        saved = OmegaConf.load(mine / "out" / job / "config.yaml")
        assert dict(saved.fusion) == {"_target_": "my_strategy.MyFusion", "out_dim": 8, "hidden": 4}


def test_a_misspelt_module_of_the_package_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="no module 'mmbert.fusion.cocnat'.*Did you mean 'mmbert.fusion.concat'?"):
        signature_of("mmbert.fusion.cocnat.ConcatFusion")
