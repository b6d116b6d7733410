"""Label cells as text, lists and numbers."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.labels import as_number, class_name, split_labels


def test_a_list_that_is_none_is_named():
    with pytest.raises(DataError, match="looks like a JSON list but is none"):
        split_labels('["a"')


@pytest.mark.parametrize("cell", ["seven", "", "nan", "inf", "1,5", "1e39", "-1e39", 10**400, [1.0], {}])
def test_what_is_no_finite_number_in_single_precision(cell):
    with pytest.raises(DataError, match="is no finite number"):
        as_number(cell)


@pytest.mark.parametrize(
    ("cell", "name"), [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("7", "7"), (True, "True"), (" a b ", "a b")]
)
def test_class_names(cell, name):
    assert class_name(cell) == name
