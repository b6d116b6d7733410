"""Label cells as text, lists and numbers."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.labels import as_number, finite_number, split_labels


def test_a_list_that_is_none_is_named():
    with pytest.raises(DataError, match="looks like a list but is none"):
        split_labels('["a"')


@pytest.mark.parametrize("cell", ["seven", "", "nan", "inf", "1,5", "1e39", "-1e39", "1_000", 10**400, [1.0], {}])
def test_what_is_no_finite_number_in_single_precision(cell):
    with pytest.raises(DataError, match="is no finite number"):
        as_number(cell)


@pytest.mark.parametrize(
    ("cell", "number"), [("1e2", 100.0), (" 3 ", 3.0), ("inf", None), ("nan", None), ("1_0", None), (None, None)]
)
def test_finite_numbers(cell, number):
    assert finite_number(cell) == number


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a| b |", ["a", "b"]),
        (7.0, ["7"]),
        ('["joy", "", null, 1.0, true]', ["joy", "1", "True"]),
        ("['joy', 'fear']", ["joy", "fear"]),
        ("['joy' 'fear']", ["joy", "fear"]),  # a NumPy array, as pandas writes it
        (["a", None, " b ", float("nan"), ""], ["a", "b"]),
        ("[]", []),
        ("(a)|b", ["(a)", "b"]),
    ],
)
def test_names_of_a_multilabel_cell(cell, names):
    assert split_labels(cell) == names


@pytest.mark.parametrize("cell", ['[["a"]]', [["a"], ["b"]], '[{"a": 1}]'])
def test_lists_of_lists_are_no_labels(cell):
    with pytest.raises(DataError, match="holds lists; a list of names is wanted"):
        split_labels(cell)
