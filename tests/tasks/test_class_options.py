"""Options of tasks with classes: order of names, weights, smoothing, and what is refused."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.tasks.class_options import (
    ClassIndex,
    checked_classes,
    checked_smoothing,
    checked_weights,
    count_of,
    joined_counts,
    natural_order,
)


def test_numbers_come_first_and_by_value():
    assert natural_order(["10", "b", "2", "-3", "A", "nan", "2"]) == ["-3", "2", "10", "A", "b", "nan"]


def test_names_that_are_equal_as_cells_are_one_class_called_by_the_shortest():
    assert joined_counts(["0.0", "0", "1.0", "0.0", "a"]) == {"0": 3, "1.0": 1, "a": 1}
    assert joined_counts(["TRUE", "true", "true", "False"]) == {"true": 3, "False": 1}
    assert joined_counts(["1.10", "1.1", "007", "7"]) == {"1.10": 1, "1.1": 1, "007": 1, "7": 1}


def test_a_class_is_found_by_how_it_is_written_and_else_by_the_rule_of_cells():
    index = ClassIndex(["0.0", "1.0", "True", "caf\u00e9"])  # as an old model may have saved them
    assert [index.find(name) for name in ("0", "0.0", "1", "TRUE", "cafe\u0301", "1.00")] == [0, 0, 1, 2, 3, None]
    both = ClassIndex(["0", "0.0"])  # an older version learnt two classes
    assert [both.find(name) for name in ("0", "0.0", "-0.0")] == [0, 1, 0]
    assert ClassIndex(["0", "1"]).counts({"0.0": 3, "1": 2, "1.0": 1, "gone": 5}) == {"0": 3, "1": 3}


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
