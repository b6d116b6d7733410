"""CSV and TSV: cells as they were written, the lines they stand on, and what separates them."""

import csv
import io

import pyarrow as pa
import pytest

from mmbert.core.errors import DataError
from mmbert.data.tables import delimited, reading
from mmbert.data.tables.delimited import Delimited

FORMAT = Delimited(",")


def rows_of(path, format_=FORMAT):
    """(schema, rows) of a file."""
    schema = format_.schema(path)
    return schema, [row for table in format_.batches(path, schema) for row in table.to_pylist()]


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_delimited_cells_are_text_and_nothing_else(tmp_path, name, separator):
    lines = [["text", "label", ""], ["007", "NA", "x"], ["", "null", ""], ['"two\nlines"', '"say ""hello"""', ""]]
    path = written(tmp_path, name, "\ufeff" + "\n".join(separator.join(line) for line in lines) + "\n\n")
    schema, rows = rows_of(path, Delimited(separator))
    assert schema == pa.schema([("text", pa.string()), ("label", pa.string())])
    assert rows == [
        {"text": "007", "label": "NA"},
        {"text": None, "label": "null"},
        {"text": "two\nlines", "label": 'say "hello"'},
    ]
    assert [Delimited(separator).line(path, row) for row in range(3)] == [2, 3, 4]


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
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    path = written(tmp_path, "a.csv", "n\n" + "".join(f"{n},\n" for n in range(5)))
    tables = list(FORMAT.batches(path, FORMAT.schema(path)))
    assert [table.num_rows for table in tables] == [2, 2, 1]
    assert [cell for table in tables for cell in table["n"].to_pylist()] == list("01234")


HEADER, ROW = ["id", "text", "label"], ["7", "so, what; then", "NA"]


@pytest.mark.parametrize("usual", [",", "\t"])
@pytest.mark.parametrize(("found", "called"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs")])
def test_the_separator_is_read_from_the_file_and_reported(tmp_path, usual, found, called):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=found).writerows([HEADER, ROW, ROW])
    path = written(tmp_path, "a.csv", buffer.getvalue())
    schema, rows = rows_of(path, Delimited(usual))
    assert schema.names == HEADER and [list(row.values()) for row in rows] == [ROW, ROW]
    notes = Delimited(usual).notes(path)
    assert notes == [] if usual == found else f"a.csv: its cells are separated by {called}" in notes[0]


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        # one column: separators in its texts are texts, whatever their number
        ("text\nred; green\nblue; white\n", ["text"], [["red; green"], ["blue; white"]]),
        ('text\n"red, green"\n"blue, white"\n', ["text"], [["red, green"], ["blue, white"]]),
        ("text\na\tb\n", ["text"], [["a\tb"]]),
        # an ordinary file whose header and cells hold other separators too
        ("a;b,c\n1;2,3\n", ["a;b", "c"], [["1;2", "3"]]),
        # commas within the names and numbers of a file of semicolons, with which rows disagree
        ("x, y;z\n1,5;2\n3;3\n", ["x, y", "z"], [["1,5", "2"], ["3", "3"]]),
        ('"te;xt";label\n"a;b";c\n', ["te;xt", "label"], [["a;b", "c"]]),
        ("only;a;header\n", ["only", "a", "header"], []),
    ],
)
def test_what_separates_cells_is_not_misread(tmp_path, text, header, rows):
    schema, found = rows_of(written(tmp_path, "a.csv", text))
    assert schema.names == header and [list(row.values()) for row in found] == rows


@pytest.mark.parametrize(("mark", "called"), [(";", "semicolons"), ("\t", "tabs"), ("|", "'|'")])
def test_the_line_by_which_excel_names_the_separator_is_no_row(tmp_path, mark, called):
    path = written(tmp_path, "a.csv", f"sep={mark}\r\ntext{mark}label\r\na, b{mark}x\r\n")
    schema, rows = rows_of(path)
    assert schema.names == ["text", "label"] and rows == [{"text": "a, b", "label": "x"}]
    assert FORMAT.line(path, 0) == 3 and f"separated by {called}" in FORMAT.notes(path)[0]


def test_a_broken_row_does_not_change_the_separator(tmp_path):
    good = "a;b\n" + "1;2\n" * 3
    with pytest.raises(DataError, match=r"row 4 \(line 5\) has 3 cells"):
        rows_of(written(tmp_path, "a.csv", good + "1;2;3\n"))
    with pytest.raises(DataError, match=r"row 2 \(line 3\) has 3 cells"):
        rows_of(written(tmp_path, "b.csv", "a,b\n1,2\n1,2,3\n"))


def test_a_row_that_is_cut_where_the_sniffing_ends_has_no_say(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "SNIFFED_CHARACTERS", 14)
    path = written(tmp_path, "a.csv", "a;b;c\n1;2;3\n4;5;6\n")
    assert FORMAT.separator_of(path) == ";"


def test_blanks_around_names_do_not_count_and_accents_are_composed(tmp_path):
    schema, rows = rows_of(written(tmp_path, "a.csv", " text ,\u00a0label,e\u0301te\u0301\n 1 ,2,3\n"))
    assert schema.names == ["text", "label", "\xe9t\xe9"]
    assert rows == [{"text": " 1 ", "label": "2", "\xe9t\xe9": "3"}]
    with pytest.raises(DataError, match="two columns called 'text': .*Blanks around a name do not count"):
        rows_of(written(tmp_path, "b.csv", "text, text\n1,2\n"))
