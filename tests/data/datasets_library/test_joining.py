"""Splits whose columns are of several types, or of several names, become one table."""

import pyarrow as pa
import pytest

from mmbert.data.datasets_library.joining import joined_tables, joint_type, with_split

MEDIA = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("first", "second", "cells"),
    [
        (pa.array([1, 2]), pa.array([1.5, None]), [1.0, 2.0, 1.5, None]),
        (pa.array([1, 2]), pa.nulls(1), [1, 2, None]),
        (pa.array([7]), pa.array(["007"]), ["7", "007"]),
        (pa.array([7.0, 0.1]), pa.array(["x"]), ["7", "0.1", "x"]),
        (pa.array([True]), pa.array(["x"]), ["true", "x"]),
        (pa.array([[1]]), pa.array([["x"], []]), [["1"], ["x"], []]),
        (pa.array(["a"], pa.large_string()), pa.array(["b"]), ["a", "b"]),
        (pa.array([{"bytes": None, "path": "a"}], MEDIA), pa.array([{"path": "b"}]), None),
    ],
)
def test_types_are_joined_to_one_that_holds_all_cells(first, second, cells):
    columns, hidden = joined_tables([("train", pa.table({"x": first})), ("test", pa.table({"x": second}))])
    assert hidden == {}
    expected = cells or [{"bytes": None, "path": "a"}, {"bytes": None, "path": "b"}]
    assert columns["x"].to_pylist() == expected


def test_a_column_that_a_split_lacks_is_empty_there():
    first, second = pa.table({"text": ["a"], "label": [1]}), pa.table({"text": ["b"], "other": ["o"]})
    columns, _ = joined_tables([("train", first), ("test", second)])
    assert {name: values.to_pylist() for name, values in columns.items()} == {
        "text": ["a", "b"],
        "label": [1, None],
        "other": [None, "o"],
    }


def test_types_that_have_nothing_in_common_hide_the_column_alone():
    first = pa.table({"text": ["a"], "meta": [{"a": 1}], "id": [2**60 + 1]})
    second = pa.table({"text": ["b"], "meta": ["x"], "id": [0.5]})
    columns, hidden = joined_tables([("train", first), ("test", second)])
    assert list(columns) == ["text"]
    assert hidden == {
        "meta": "struct<a: int64> in split 'train', string in split 'test'",
        "id": "int64 in split 'train', double in split 'test'",
    }


def test_the_split_is_a_column_in_the_place_of_one_that_is_called_so():
    table = with_split(pa.table({"split": [1, 2], "text": ["a", "b"]}), "split", "test")
    assert table.to_pydict() == {"text": ["a", "b"], "split": ["test", "test"]}
    assert joint_type(pa.list_(pa.int64()), pa.list_(pa.float64())) == pa.list_(pa.float64())
