"""Ranges beside arguments are read from the source, in the package and in a user's own folder, without an import."""

import sys

import pytest

from mmbert.cli.options.annotations import rules_of

MINE = """
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional
import typing
import mmbert.core.ranges as allowed
from mmbert.core import ranges
from mmbert.core.ranges import AnyOf, EachEncoder, Many, OneOf, OptionsOf, Range
from mmbert.core.ranges import Range as Between
from mmbert.fusion.concat import ConcatFusion
from my_words import WAYS, Width

raise RuntimeError("this module must not be imported")

LEVELS = Many(Range(above=0, at_most=1))

@dataclass
class Noise:
    level: Annotated[float, Range(0, 1)] = 0.0
    kind: Literal["white", "pink"] = "white"
    made: Annotated[int, Range(9)] = field(default=0, init=False)

@dataclass
class Louder(Noise):
    gain: Annotated[float, Range(0)] = 0.0

class Mine(ConcatFusion):
    def __init__(
        self,
        dims,
        out_dim=8,
        heads: Annotated[int, Range(1)] = 4,
        width: Annotated[int | None, Between(2, 8)] = None,
        size: "Annotated[int, Range(3)]" = 3,
        rate: typing.Annotated[float, ranges.Range(0, below=1)] = 0.1,
        rate2: Annotated[float, allowed.Range(0, below=1)] = 0.1,
        read: Literal["last", "mean"] = "last",
        read2: Optional[Literal["last", "mean"]] = None,
        way: Annotated[str, OneOf(*WAYS)] = "up",
        shared: Width = 4,
        sizes: Sequence[Annotated[int, Range(1)]] = (),
        levels: Annotated[Sequence[float], LEVELS] = (),
        either: Annotated[int, Range(1)] | Literal["auto"] = "auto",
        noise: Annotated[Mapping[str, Any] | None, OptionsOf(Noise, seed=Range(0))] = None,
        plain: int = 1,
        other: Annotated[int, "a note"] = 1,
        strange: Annotated[int, Range(unknown())] = 1,
        mixed: Annotated[int, Range(1)] | Sequence[str] = 1,
        **more,
    ):
        super().__init__(dims, out_dim, **more)

def join(vectors, scale: Annotated[float, Range(above=0)] = 1.0): ...
"""
WORDS = """
from typing import Annotated
from mmbert.core.ranges import Range
WAYS = ("up", "down")
Width = Annotated[int, Range(4)]
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_words.py").write_text(WORDS)
    (tmp_path / "my_module.py").write_text(MINE)
    yield tmp_path
    assert "my_module" not in sys.modules


def test_a_users_annotations_are_read_in_every_spelling(mine):
    found = {name: rule.wanted for name, rule in rules_of("my_module.Mine").items()}
    share = "a number of at least 0 and below 1"
    assert found == {
        "heads": "a whole number of at least 1",  # plain and other have no range: a user's plain types are hints
        "width": "a whole number of at least 2 and at most 8",
        "size": "a whole number of at least 3",
        "rate": share,
        "rate2": share,
        "read": "one of last, mean",
        "read2": "one of last, mean",
        "way": "one of up, down",
        "shared": "a whole number of at least 4",
        "sizes": "a list of values, each a whole number of at least 1,",
        "levels": "a list of values, each a number above 0 and at most 1,",
        "either": "a whole number of at least 1 or one of auto",
        "noise": "a group of options, {name: value},",
        "dropout": share,  # of ConcatFusion
        "out_dim": "a whole number of at least 1",  # of Fusion, above it
    }
    assert rules_of("my_module.join")["scale"].wanted == "a number above 0"


def test_a_group_of_options_is_that_of_its_class(mine):
    rule = rules_of("my_module.Mine")["noise"]
    assert rule.owner == "my_module.Noise"
    assert rule.more["seed"].wanted == "a number of at least 0"
    noise = {name: rule.wanted for name, rule in rules_of("my_module.Noise").items()}
    assert noise["level"] == "a number of at least 0 and at most 1" and noise["kind"] == "one of white, pink"
    assert set(rules_of("my_module.Louder")) >= {"level", "kind", "gain"}


def test_a_class_without_annotations_is_not_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_free.py").write_text("class Free:\n    def __init__(self, dropout, heads: int = 1): ...\n")
    assert rules_of("my_free.Free") == {}
    assert rules_of("my_free.Gone") == rules_of("no_such_module.Class") == rules_of("torch.nn.Linear") == {}


def test_its_own_range_comes_before_that_of_a_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        "from typing import Annotated",
        "from mmbert.core.ranges import Range",
        "from mmbert.fusion.concat import *",
    ]
    lines += ["from mmbert.fusion.concat import ConcatFusion", "class Wide(ConcatFusion):"]
    lines += ["    def __init__(self, dims, out_dim: Annotated[int, Range(64)] = 64, dropout: float = 0.0): ..."]
    (tmp_path / "my_wide.py").write_text("\n".join(lines))
    rules = rules_of("my_wide.Wide")
    assert rules["out_dim"].wanted == "a whole number of at least 64"
    assert rules["dropout"].wanted == "a number of at least 0 and below 1"  # said by the base alone


def test_an_earlier_class_path_has_the_ranges_of_its_class():
    rules = rules_of("mmbert.training.balance_modalities.ogm_ge.OGMGE")
    assert rules["alpha"].wanted == "a number of at least 0"
