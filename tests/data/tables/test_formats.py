"""Cells of every format as they were written, the lines they stand on, and types that fit a whole column."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.data.tables import formats
from mmbert.data.tables.formats import FORMATS, common_type, plain_type, row_name, type_of


def rows_of(path):
    """(schema, rows) of a file."""
    reader = FORMATS[path.suffix]
    schema = reader.schema(path)
    return schema, [row for table in reader.batches(path, schema) for row in table.to_pylist()]


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_delimited_cells_are_text_and_nothing_else(tmp_path, name, separator):
    lines = [["text", "label", ""], ["007", "NA", "x"], ["", "null", ""], ['"two\nlines"', '"say ""hello"""', ""]]
    path = written(tmp_path, name, "\ufeff" + "\n".join(separator.join(line) for line in lines) + "\n\n")
    schema, rows = rows_of(path)
    assert schema == pa.schema([("text", pa.string()), ("label", pa.string())])
    assert rows == [
        {"text": "007", "label": "NA"},
        {"text": None, "label": "null"},
        {"text": "two\nlines", "label": 'say "hello"'},
    ]
    assert [FORMATS[path.suffix].line(path, row) for row in range(3)] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", r"row 2 \(line 3\) has 3 cells, but the header has 2 columns"),
        ("a,b\n1\n", r"row 1 \(line 2\) has 1 cells"),
        ("a,a\n1,2\n", "two columns called 'a': rename one"),
        ("", "is empty: its first line must name the columns"),
        ('a,b\n"x"y,2\n', "line 2: .*stands in quotation marks"),
    ],
)
def test_broken_delimited_files_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        rows_of(written(tmp_path, "a.csv", text))


def test_empty_cells_after_the_last_column_are_let_go_and_batches_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "BATCH_ROWS", 2)
    path = written(tmp_path, "a.csv", "n\n" + "".join(f"{n},\n" for n in range(5)))
    tables = list(FORMATS[".csv"].batches(path, FORMATS[".csv"].schema(path)))
    assert [table.num_rows for table in tables] == [2, 2, 1]
    assert [cell for table in tables for cell in table["n"].to_pylist()] == list("01234")


def test_json_lines_keep_their_types_and_mixed_columns_become_text(tmp_path):
    text = '{"n": 1, "mixed": true}\n\n{"n": 2.5, "mixed": "x", "late": [1, 2]}\n{"mixed": null, "gone": null}\n'
    path = written(tmp_path, "a.jsonl", text)
    schema, rows = rows_of(path)
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds == {"n": "double", "mixed": "string", "late": "list<item: int64>", "gone": "string"}
    assert rows == [
        {"n": 1.0, "mixed": "true", "late": None, "gone": None},
        {"n": 2.5, "mixed": "x", "late": [1, 2], "gone": None},
        {"n": None, "mixed": None, "late": None, "gone": None},
    ]
    assert [FORMATS[".jsonl"].line(path, row) for row in range(3)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": }\n', "line 2 is no JSON: Expecting value at character 7"),
        ("[1, 2]\n", "line 1 is no JSON object"),
        ('{"a": "\\ud83d"}\n', "line 1 is no JSON"),
    ],
)
def test_broken_json_lines_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        rows_of(written(tmp_path, "a.jsonl", text))


def test_parquet_keeps_types_and_categories_become_what_they_stand_for(tmp_path):
    labels = pa.array(["cat", "dog", "cat"]).dictionary_encode()
    parquet.write_table(pa.table({"label": labels, "n": pa.array([1, 2, 3], pa.int8())}), tmp_path / "a.parquet")
    schema, rows = rows_of(tmp_path / "a.parquet")
    assert schema == pa.schema([("label", pa.string()), ("n", pa.int8())])
    assert rows == [{"label": "cat", "n": 1}, {"label": "dog", "n": 2}, {"label": "cat", "n": 3}]
    assert FORMATS[".parquet"].line(tmp_path / "a.parquet", 0) is None


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_what_is_not_utf8_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"text\nf\xfcr\n")
    with pytest.raises(DataError, match=f"{name} is not UTF-8.*Save it as UTF-8"):
        rows_of(tmp_path / name)


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="a.parquet cannot be read as PARQUET"):
        rows_of(tmp_path / "a.parquet")


def test_types_fit_all_cells():
    assert type_of([1, None, 2]) == pa.int64() and type_of([1, 2.5]) == pa.float64()
    assert type_of([True, 1]) == pa.string() and type_of([2**70]) == pa.string() and type_of([]) == pa.null()
    assert common_type(pa.int64(), pa.float64()) == pa.float64()
    assert common_type(pa.null(), pa.int64()) == pa.int64()
    assert common_type(pa.int64(), pa.string()) == pa.string()
    assert plain_type(pa.dictionary(pa.int8(), pa.string())) == pa.string() and plain_type(pa.null()) == pa.string()


def test_rows_are_named_by_number_and_line():
    assert row_name(0, None) == "row 1" and row_name(4, 9) == "row 5 (line 9)"
