"""Parquet: types are kept, and odd columns that nobody asks for are no obstacle."""

import datetime
import decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.data.tables.parquet import Parquet

FORMAT = Parquet()


def rows_of(path):
    """(schema, rows) of a file."""
    schema = FORMAT.schema(path)
    return schema, [row for table in FORMAT.batches(path, schema) for row in table.to_pylist()]


def test_parquet_keeps_types_and_categories_become_what_they_stand_for(tmp_path):
    labels = pa.array(["cat", "dog", "cat"]).dictionary_encode()
    parquet.write_table(pa.table({"label": labels, "n": pa.array([1, 2, 3], pa.int8())}), tmp_path / "a.parquet")
    schema, rows = rows_of(tmp_path / "a.parquet")
    assert schema == pa.schema([("label", pa.string()), ("n", pa.int8())])
    assert rows == [{"label": "cat", "n": 1}, {"label": "dog", "n": 2}, {"label": "cat", "n": 3}]
    assert FORMAT.line(tmp_path / "a.parquet", 0) is None


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="a.parquet cannot be read as PARQUET"):
        rows_of(tmp_path / "a.parquet")


ODD = {
    "map": pa.array([[("speaker", 1)], None], pa.map_(pa.string(), pa.int64())),
    "maps": pa.array([[[("speaker", 1)]], None], pa.list_(pa.map_(pa.string(), pa.int64()))),
    "inside": pa.array([{"m": [("a", 1)]}, None], pa.struct([("m", pa.map_(pa.string(), pa.int64()))])),
    "view": pa.array([[1], None], pa.list_view(pa.int64())),
}
USUAL = {
    "label": pa.array([["cat"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "empty": pa.nulls(2),
    "length": pa.array([datetime.timedelta(seconds=2), None]),
    "price": pa.array([decimal.Decimal("1.50"), None]),
    "half": pa.array([1.5, None], pa.float16()),
}


def test_columns_of_types_that_cannot_be_read_are_left_out_and_break_nothing(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"]} | ODD | USUAL), path)
    schema, rows = rows_of(path)
    assert schema.names == ["text", *USUAL] and [row["text"] for row in rows] == ["a", "b"]
    assert rows[0]["label"] == ["cat"] and rows[0]["length"] == datetime.timedelta(seconds=2)
    assert FORMAT.hidden(path) == {
        "map": "map<string, int64 ('map')>",
        "maps": "list<element: map<string, int64 ('element')>>",
        "inside": "struct<m: map<string, int64 ('m')>>",
        "view": "list_view<element: int64>",
    }


def test_a_file_in_which_nothing_can_be_read_is_refused(tmp_path):
    parquet.write_table(pa.table({"map": ODD["map"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column that can be read: 'map'"):
        FORMAT.schema(tmp_path / "a.parquet")
