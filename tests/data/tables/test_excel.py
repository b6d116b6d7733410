"""Excel: the first sheet as text, like the CSV file that Excel would save."""

import datetime
import sys
import zipfile

import pyarrow as pa
import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.tables import excel
from mmbert.data.tables.excel import Excel, value_text
from mmbert.data.tables.table import Table

openpyxl = pytest.importorskip("openpyxl")
FORMAT = Excel()


def rows_of(path):
    """(schema, rows) of a file."""
    schema = FORMAT.schema(path)
    return schema, [row for table in FORMAT.batches(path, schema) for row in table.to_pylist()]


def saved(path, rows, others=()):
    book = openpyxl.Workbook()
    book.active.title = "Data"
    for row in rows:
        book.active.append(row)
    for name in others:
        book.create_sheet(name).append(["other"])
    book.save(path)
    return path


def test_cells_are_the_text_that_csv_would_hold(tmp_path):
    day, moment = datetime.datetime(2020, 1, 31), datetime.datetime(2020, 1, 31, 9, 30)
    rows = [
        [" text ", "label", "when", None, "flag"],
        ["007", 7.0, day, "no name", True],
        [None, None, None, None, None],
        ["NA", 0.5, moment, None, False],
        ["None", -3, None, None],
    ]
    path = saved(tmp_path / "a.xlsx", rows)
    schema, found = rows_of(path)
    assert schema == pa.schema([(name, pa.string()) for name in ("text", "label", "when", "flag")])
    assert [list(row.values()) for row in found] == [
        ["007", "7", "2020-01-31", "TRUE"],
        ["NA", "0.5", "2020-01-31 09:30:00", "FALSE"],
        ["None", "-3", None, None],
    ]
    assert [FORMAT.line(path, row) for row in range(3)] == [2, 4, 5] and FORMAT.notes(path) == []


def test_of_several_sheets_the_first_that_is_shown_is_read_and_the_others_are_named(tmp_path):
    path = saved(tmp_path / "a.xlsx", [["text"], ["x"]], others=["Old", "Notes"])
    assert FORMAT.notes(path) == ["a.xlsx: the sheet 'Data' is read, and not 'Old', 'Notes': put it first"]
    book = openpyxl.load_workbook(path)
    book["Data"].sheet_state = "hidden"
    book.save(path)
    assert FORMAT.schema(path).names == ["other"]


def test_wrong_dimensions_hide_no_row(tmp_path):
    path = saved(tmp_path / "a.xlsx", [["text", "label"], ["x", 1], ["y", 2]])
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert b'ref="A1:B3"' in parts[sheet]
    parts[sheet] = parts[sheet].replace(b'ref="A1:B3"', b'ref="A1"')
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    assert [list(row.values()) for row in rows_of(path)[1]] == [["x", "1"], ["y", "2"]]


def test_what_is_no_workbook_and_what_is_empty(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"text,label\n")
    with pytest.raises(DataError, match="a.xlsx cannot be read as XLSX: .*saved as .xlsx without a password"):
        FORMAT.schema(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="must name the columns"):
        FORMAT.schema(saved(tmp_path / "b.xlsx", []))
    with pytest.raises(DataError, match="two columns called 'a'"):
        FORMAT.schema(saved(tmp_path / "c.xlsx", [["a", "a "], [1, 2]]))


def test_what_a_workbook_claims_is_bounded(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.xlsx", [["text"], ["x"], ["y"], ["z"]])
    monkeypatch.setattr(excel, "LAST_ROW", 3)
    with pytest.raises(DataError, match="a.xlsx cannot be read as XLSX: it claims to have a row beyond 3"):
        list(FORMAT.batches(path, FORMAT.schema(path)))
    monkeypatch.setattr(excel, "UNPACKED_BYTES", 1000)
    with pytest.raises(
        DataError, match="it unpacks to 0.0 GiB, more than is read of a workbook; save the sheet as CSV"
    ):
        FORMAT.schema(path)


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.xlsx", [["text"], ["x"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r"pip install 'mmbert\[excel\]'"):
        Table(path)


def test_values_as_text():
    assert [value_text(value) for value in (None, True, 1e3, 0.1, 12, datetime.time(9, 5), "x")] == [
        *("", "TRUE", "1000", "0.1", "12", "09:05:00", "x")
    ]
