"""The table of what no class of ours declares: its options exist, and its choices are Lightning's."""

import re
from pathlib import Path

import pytest
import yaml

from mmbert.cli.options import foreign, schema

CONF = Path(__file__).parents[3] / "conf"


def test_devices() -> None:
    rule = foreign.DEVICES
    good = [1, -1, "auto", "-1", "2", "0,1", [0], [1, 3], None, "${other}"]
    bad = [0, -2, "none", [], [-1], 1.5, True]
    assert [value for value in good if rule.complaint(value)] == []
    assert [value for value in bad if not rule.complaint(value)] == []


def test_every_rule_speaks_of_an_option_in_some_yaml() -> None:
    found = set()
    for file in CONF.rglob("*.yaml"):
        for _, node in schema.nodes(yaml.safe_load(file.read_text()) or {}):
            target = str(node.get("_target_", ""))
            found |= {(start, name) for start in foreign.FOREIGN_CLASSES if target.startswith(start) for name in node}
    stale = {(start, name) for start, rules in foreign.FOREIGN_CLASSES.items() for name in rules} - found
    assert stale == set()


def test_every_trainer_option_that_has_choices_names_its_default_among_them() -> None:
    trainer = yaml.safe_load((CONF / "trainer" / "auto.yaml").read_text())
    for name, rule in foreign.FOREIGN_CLASSES["pytorch_lightning.Trainer"].items():
        assert rule.complaint(trainer[name]) is None


def test_the_choices_are_those_of_lightning() -> None:
    pytest.importorskip("pytorch_lightning")
    from lightning_fabric.plugins.precision.precision import _PRECISION_INPUT_INT, _PRECISION_INPUT_STR
    from pytorch_lightning.strategies import StrategyRegistry

    known = {*_PRECISION_INPUT_STR.__args__, *_PRECISION_INPUT_INT.__args__}
    assert {p for p in foreign.PRECISIONS if p not in ("32", "16", "64", "bf16")} <= known
    assert set(foreign.STRATEGIES) - {"auto"} <= set(StrategyRegistry.available_strategies())


def test_a_choice_is_offered_once() -> None:
    wrong = schema.complaint("pytorch_lightning.Trainer", "trainer.precision", "64-tru")
    assert wrong is not None
    assert re.findall(r"\b64-true\b", wrong.partition("Choices:")[2]) == ["64-true"]
