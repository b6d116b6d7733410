"""What each kind of range accepts, and how it says what is wanted."""

import pytest

from mmbert.core.ranges import (
    AnyOf,
    CellValues,
    CountOrShare,
    Custom,
    EachEncoder,
    Many,
    OneOf,
    OptionsOf,
    Range,
    Rule,
    String,
    Switch,
)

WHOLE = Range(1, whole=True)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (WHOLE, [1, 7], [0, -1, 1.0, True, "1", [1]]),
        (Range(0, 3, whole=True), [0, 3], [4]),
        (Range(0, below=1), [0, 0.5, 0.99], [1, -0.1, "a", float("nan"), True]),
        (Range(0, 1), [0, 1], [1.01]),
        (Range(above=0), [1e-9, 3], [0, -1, float("inf")]),
        (Range(), [-1e9, 0], ["a", True, float("nan")]),
        (Switch(), [True, False], [0, 1, "true"]),
        (String(), ["", "a"], [1, ["a"], True]),
        (CellValues(), ["NA", -9, True, [], ["NA", float("nan"), None]], [{}, [["NA"]], [{"a": 1}]]),
        (OneOf("a", 16), ["a", 16, {"_target_": "x.Y"}], ["b", 17, True, {}]),
        (OneOf(True, False, "warn"), [True, False, "warn"], [1, 0, "warm"]),
        (Many(WHOLE, length=2), [[1, 2]], [[1], [1, 0], 1, "ab"]),
        (AnyOf(OneOf("balanced"), Many(Range(0))), ["balanced", [0.5, 1]], ["other", [-1], 1]),
        (CountOrShare("some"), [0, 10, 0.1, 1.0], [1.5, -1, "all", True]),
        (CountOrShare("some", below_one=True), [0, 500, 0.1], [1.0, 1.5, -1, True]),
        (EachEncoder(Range(above=0), "each"), [{}, {"text": 2}], [{"text": 0}, 2, [1]]),
        (EachEncoder(Range(0, below=1), "one", or_one=True), [0, 0.2, {"text": 0.3}], [1, -0.1, {"text": 1}, "a"]),
        (OptionsOf(dict), [{}, {"a": 1}], [3, "a", [1]]),
        (Custom("even", lambda value: value % 2 == 0), [2], [3]),
    ],
)
def test_a_range_accepts_what_it_says(rule: Rule, good: list, bad: list) -> None:
    assert [value for value in [*good, None, "${other}"] if rule.complaint(value)] == []
    assert [value for value in bad if not rule.complaint(value)] == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (WHOLE, "a whole number of at least 1"),
        (Range(0, 2**32 - 1, whole=True), "a whole number of at least 0 and at most 4294967295"),
        (Range(0, below=1), "a number of at least 0 and below 1"),
        (Range(0.5, 20.0), "a number of at least 0.5 and at most 20"),
        (Range(above=0), "a number above 0"),
        (Range(above=0, at_most=1), "a number above 0 and at most 1"),
        (Range(at_most=3), "a number of at most 3"),
        (Range(below=0), "a number below 0"),
        (Range(), "a number"),
        (Many(WHOLE, length=2), "a list of 2 values, each a whole number of at least 1,"),
        (AnyOf(OneOf("balanced"), Many(Range(0))), "one of balanced or a list of values, each a number of at least 0,"),
    ],
)
def test_a_range_is_described(rule: Rule, words: str) -> None:
    assert rule.wanted == words


def test_a_complaint_ends_a_sentence_and_offers_the_nearest_choice() -> None:
    assert Range(0, below=1).complaint(7) == "a number of at least 0 and below 1 is wanted here."
    assert OneOf("mean", "cls").complaint("men") == ("not one of the choices. Did you mean 'mean'? Choices: mean, cls.")
    assert OneOf("mean", "cls").complaint(3) == "one of mean, cls is wanted here."


@pytest.mark.parametrize(
    ("rule", "value"), [(Range(1), 1.5), (Many(Range(1)), [1.5]), (AnyOf(OneOf("a"), Range(1)), 1.5)]
)
def test_the_type_decides_whether_numbers_are_whole(rule: Rule, value: object) -> None:
    assert rule.for_type(whole=False).complaint(value) is None
    assert "a whole number" in str(rule.for_type(whole=True).complaint(value))
    each = EachEncoder(Range(1), "each")
    assert each.for_type(whole=False).accepts({"text": 1.5}) and not each.for_type(whole=True).accepts({"text": 1.5})
