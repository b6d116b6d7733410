"""Options of tasks with classes: order of names, weights, smoothing, and what is refused."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.tasks.class_options import (
    checked_classes,
    checked_smoothing,
    checked_weights,
    count_of,
    finite_number,
    natural_order,
)


def test_numbers_come_first_and_by_value():
    assert natural_order(["10", "b", "2", "-3", "A", "nan", "2"]) == ["-3", "2", "10", "A", "b", "nan"]


@pytest.mark.parametrize(("cell", "number"), [("1e2", 100.0), (" 3 ", 3.0), ("inf", None), ("nan", None), (None, None)])
def test_finite_numbers(cell, number):
    assert finite_number(cell) == number


def test_class_names():
    assert checked_classes([1, "b"], "c", 2) == ["1", "b"]
    with pytest.raises(ConfigError, match="column 'c' has the classes .*; it needs at least 2"):
        checked_classes(["a"], "c", 2)
    with pytest.raises(ConfigError, match="column 'c' names the class '1' twice"):
        checked_classes([1, "1", "b"], "c", 2)


def test_weights():
    assert checked_weights(None, None, ["a", "b"], "c") is None
    assert checked_weights("balanced", [0.5, 2.0], ["a", "b"], "c").tolist() == [0.5, 2.0]
    assert checked_weights([1, 0], None, ["a", "b"], "c").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balance", "class_weights='balance' on column 'c' is unknown.*balanced"),
        ("balanced", "needs class_counts"),
        ([1.0], "has 1 numbers for 2 classes. Give one for each of a, b, in this order"),
        ([1.0, -1.0], "finite numbers >= 0"),
        ([0.0, 0.0], "not all of them 0"),
        ([1.0, float("inf")], "finite numbers >= 0"),
    ],
)
def test_weights_that_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        checked_weights(weights, None, ["a", "b"], "c")


def test_smoothing_and_counts():
    assert checked_smoothing(0, "c") == 0.0
    for value in (1, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="on column 'c' must be at least 0 and below 1"):
            checked_smoothing(value, "c")
    assert [count_of(name, {"a": 3, "b": 0}) for name in "abc"] == [3, 1, 1]
