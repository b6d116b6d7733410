"""The table of allowed values: its rules, and that it speaks of options that exist."""

import re
from pathlib import Path

import pytest
import yaml

from mmbert.cli.options import schema
from mmbert.cli.options.rules import either, many, number, one_of, positive, share_or_count, switch, whole

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (whole(1), [1, 7], [0, -1, 1.0, True, "1", [1]]),
        (whole(0, 3), [0, 3], [4]),
        (number(0, below=1), [0, 0.5, 0.99], [1, -0.1, "a", float("nan"), True]),
        (number(0, at_most=1), [0, 1], [1.01]),
        (positive(), [1e-9, 3], [0, -1, float("inf")]),
        (switch(), [True, False], [0, 1, "true"]),
        (one_of("a", 16), ["a", 16, {"_target_": "x.Y"}], ["b", 17, True, {}]),
        (one_of(True, False, "warn"), [True, False, "warn"], [1, 0, "warm"]),
        (many(whole(1), length=2), [[1, 2]], [[1], [1, 0], 1, "ab"]),
        (either(one_of("balanced"), many(number(0))), ["balanced", [0.5, 1]], ["other", [-1], 1]),
        (share_or_count(), [0, 10, 0.1, 1.0], [1.5, -1, "all", True]),
        (schema.DEVICES, [1, -1, "auto", "-1", "2", "0,1", [0], [1, 3]], [0, -2, "none", [], [-1], 1.5, True]),
    ],
)
def test_a_rule_accepts_what_it_says(rule: object, good: list, bad: list) -> None:
    assert [value for value in [*good, None, "${other}"] if rule.complaint(value)] == []  # type: ignore[attr-defined]
    assert [value for value in bad if not rule.complaint(value)] == []  # type: ignore[attr-defined]


def test_the_most_special_rule_holds() -> None:
    assert schema.rule_of("pytorch_lightning.callbacks.EarlyStopping", "callbacks.x.patience") is not None
    assert schema.rule_of("my_lab.Fusion", "fusion.dropout") is None
    assert schema.rule_of(None, "seed") is not None


def test_every_rule_speaks_of_an_option_in_some_yaml() -> None:
    found = set()
    for file in CONF.rglob("*.yaml"):
        content = yaml.safe_load(file.read_text()) or {}
        for _, node in schema.nodes(content):
            target = str(node.get("_target_", ""))
            found |= {
                (beginning, name) for beginning in schema.CLASSES if target.startswith(beginning) for name in node
            }
    stale = {(beginning, name) for beginning, rules in schema.CLASSES.items() for name in rules} - found
    assert stale == set()


def test_every_trainer_option_that_has_choices_names_its_default_among_them() -> None:
    trainer = yaml.safe_load((CONF / "trainer" / "auto.yaml").read_text())
    for name, rule in schema.CLASSES["pytorch_lightning.Trainer"].items():
        assert rule.complaint(trainer[name]) is None


def test_the_choices_are_those_of_lightning() -> None:
    pytest.importorskip("pytorch_lightning")
    from lightning_fabric.plugins.precision.precision import _PRECISION_INPUT_INT, _PRECISION_INPUT_STR
    from pytorch_lightning.strategies import StrategyRegistry

    known = {*_PRECISION_INPUT_STR.__args__, *_PRECISION_INPUT_INT.__args__}
    assert {p for p in schema.PRECISIONS if p not in ("32", "16", "64", "bf16")} <= known
    assert set(schema.STRATEGIES) - {"auto"} <= set(StrategyRegistry.available_strategies())


def test_a_choice_is_offered_once() -> None:
    wrong = schema.complaint("pytorch_lightning.Trainer", "trainer.precision", "64-tru")
    assert wrong is not None
    assert re.findall(r"\b64-true\b", wrong.partition("Choices:")[2]) == ["64-true"]
