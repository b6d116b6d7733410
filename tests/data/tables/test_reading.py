"""What the formats share: batches, names, and errors that name the file."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.tables import reading
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.reading import bare_name, distinct_names, in_batches, row_name


def test_rows_are_named_by_number_and_line():
    assert row_name(0, None) == "row 1" and row_name(4, 9) == "row 5 (line 9)"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_what_is_not_utf8_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"text\nf\xfcr\n")
    with pytest.raises(DataError, match=f"{name} is not UTF-8.*Save it as UTF-8"):
        FORMATS[(tmp_path / name).suffix].schema(tmp_path / name)


def test_batches_hold_every_item_once(monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    assert list(in_batches(iter("abcde"))) == [["a", "b"], ["c", "d"], ["e"]]


def test_names_differ_by_more_than_blanks_and_the_spelling_of_accents(tmp_path):
    assert bare_name("  e\u0301te\u0301\t") == "\xe9t\xe9" and bare_name("\u3000\u6587\u672c") == "\u6587\u672c"
    assert distinct_names(tmp_path, ["a", "b"]) == ["a", "b"]
    with pytest.raises(DataError, match="two columns called 'b'"):
        distinct_names(tmp_path, ["a", "b", "b"])
