"""Arguments from a file are held against the annotations of the class that they are for."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

from mmbert.core.arguments import arguments_complaint, constructor_hints, rule_of_hint, takes_none
from mmbert.core.ranges import Many, OneOf, Range
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"out_dim": 8, "channels": [4, 8, 2], "dropout": 0}, None),
        ({"spec_augment": None, "spec_augment_2": 1}, "got an unexpected keyword argument 'spec_augment_2'"),
        ({"out_dim": "8"}, "out_dim=8: a whole number of at least 1 is wanted here."),
        ({"out_dim": None}, "out_dim has no value, and needs one"),
        ({"out_dim": 8.0}, "out_dim=8.0: a whole number of at least 1 is wanted here."),
        ({"dropout": float("nan")}, "dropout=nan: a number of at least 0 and below 1 is wanted here."),
        ({"channels": [4, 0]}, "channels=[4, 0]: a list of values, each a whole number of at least 1, is wanted here."),
        ({"time_strides": [2, 0.25]}, "time_strides=[2, 0.25]: a list of values, each a whole number"),
        ({"frozen": 1}, "frozen=1: true or false is wanted here."),
        ({"spec_augment": [1]}, "spec_augment=[1]: a group of values, {name: value}, is wanted here."),
    ],
)
def test_arguments_of_an_encoder(given, complaint):
    found = arguments_complaint(MelspecCNN, given)
    assert found is None if complaint is None else found.startswith(complaint), found


def test_a_literal_names_its_choices():
    assert arguments_complaint(TextEncoder, {"name": "tiny", "pooling": "men"}) == (
        "pooling=men: not one of the choices. Did you mean 'mean'? Choices: mean, cls, pooler."
    )
    assert arguments_complaint(TextEncoder, {}) == "missing a required argument: 'name'"


class Theirs:
    """Elsewhere a plain type may be a mere hint; ranges count."""

    def __init__(self, size: int, share: Annotated[float, Range(0, 1)] = 0.5, **rest: Any) -> None: ...


class More(Theirs):
    """Hands the rest on."""

    def __init__(self, kind: Literal["a", "b"], **rest: Any) -> None:
        super().__init__(**rest)


def test_of_classes_elsewhere_only_ranges_count():
    assert arguments_complaint(Theirs, {"size": "large", "more": 1}) is None
    assert arguments_complaint(
        Theirs, {"size": 1, "share": 2}
    ) == "share=2: a number of at least 0 and at most 1 is " + ("wanted here.")
    assert arguments_complaint(More, {"kind": "c", "size": 1}).startswith("kind=c: not one of the choices")
    assert arguments_complaint(More, {"kind": "a", "size": 1, "share": "x"}).startswith("share=x: ")
    assert set(constructor_hints(More)) >= {"kind", "size", "share"}


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int | None, [3], ["3", 0.5, True, [3]]),
        (float, [3, 0.5], ["3", float("inf"), True]),
        (list[int] | tuple[int, ...], [[1, 2], []], [3, [0.5]]),
        (Sequence[str], [["a"]], ["a", [1]]),
        (dict[str, int], [{"a": 1}], [{"a": "1"}, [1]]),
        (Mapping[str, Any], [{"a": "1"}], [[1]]),
        (Annotated[int | Sequence[int], Range(1)], [1], [0]),
        (str | int, ["a", 1], [0.5]),
    ],
)
def test_what_types_allow(hint, good, bad):
    rule = rule_of_hint(hint, plain=True)
    assert all(map(rule.accepts, good)) and not any(map(rule.accepts, bad))


def test_types_that_say_nothing():
    assert rule_of_hint(Any, True) is None and rule_of_hint(int | Theirs, True) is None
    assert rule_of_hint(int, False) is None and isinstance(rule_of_hint(Literal["a"], False), OneOf)
    assert isinstance(rule_of_hint(Annotated[list[int], Many(Range(1))], False), Many)
    assert takes_none(int | None) and takes_none(Any) and takes_none(Annotated[int | None, Range(1)])
    assert not takes_none(int) and not takes_none(Annotated[int, Range(1)])
