"""Tables are read exactly, from disk, and every message says where."""

import csv
import io
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.tables import reading
from mmbert.data.tables.cells import is_blank, is_empty
from mmbert.data.tables.json_lines import JsonLines
from mmbert.data.tables.table import Table

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELL = st.one_of(
    TEXT, st.sampled_from(["NA", "null", "None", "nan", "007", "1e5", "a\nb", "a\r\nb", '"', ",", "\t", " "])
)


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def contents(path):
    table = Table(path)
    return {name: table.column(name) for name in table.column_names}


def kept(cell):
    """What a table says of a text that was written into it."""
    return cell if cell and cell.strip() else None


# reading text


def test_csv_cells_are_text_and_only_the_empty_string_is_missing(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\nNA,007\nnull,1.0\nNone,\nnan,true\n"",1e5\n " ",-\n')
    assert contents(path) == {
        "text": ["NA", "null", "None", "nan", None, ' " "'],
        "label": ["007", "1.0", None, "true", "1e5", "-"],
    }


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
def test_byte_order_marks_and_line_ends_leave_no_trace(mark, end, last, tmp_path):
    path = write(tmp_path, "a.csv", mark + end.join([b"text,split", b"caf\xc3\xa9,train", b"b,"]) + end * last)
    assert contents(path) == {"text": ["café", "b"], "split": ["train", None]}


def test_a_jsonl_with_byte_order_mark_and_windows_line_ends(tmp_path):
    path = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n')
    assert contents(path) == {"text": ["a", "b"]}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6), ending=st.sampled_from(["csv", "tsv"]), data=st.data()
)
def test_any_text_comes_back_from_csv_and_tsv(rows, ending, data, tmp_path):
    quoting = data.draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter={"csv": ",", "tsv": "\t"}[ending], quoting=quoting, lineterminator="\r\n")
    writer.writerows([("text", "label"), *rows])
    path = write(tmp_path, f"a.{ending}", text.getvalue())
    assert contents(path) == {"text": [kept(a) for a, _ in rows], "label": [kept(b) for _, b in rows]}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.none() | CELL, min_size=1, max_size=6), ascii_only=st.booleans())
def test_any_text_comes_back_from_jsonl(cells, ascii_only, tmp_path):
    lines = [json.dumps({"text": cell, "n": 1}, ensure_ascii=ascii_only) for cell in cells]
    path = write(tmp_path, "a.jsonl", "\n".join(lines))
    assert contents(path)["text"] == [kept(cell) for cell in cells]


def test_a_text_longer_than_the_csv_modules_limit(tmp_path):
    long = "x" * 200_000
    limit = csv.field_size_limit()
    assert contents(write(tmp_path, "a.csv", f"text,split\n{long},train\n"))["text"] == [long]
    assert csv.field_size_limit() == limit


def test_columns_without_a_name_and_separators_at_the_end_of_lines_are_let_go(tmp_path):
    assert contents(write(tmp_path, "a.csv", ",text,split,\n0,a,b,\n1,c,d,\n")) == {
        "text": ["a", "c"],
        "split": ["b", "d"],
    }
    assert contents(write(tmp_path, "b.csv", "text,split\na,b,\nc,d,\n")) == {"text": ["a", "c"], "split": ["b", "d"]}


# types of JSONL and Parquet


def test_jsonl_keeps_types_and_takes_no_text_for_a_date(tmp_path):
    rows = [
        {"text": "2024-05-01", "n": 7, "x": 1, "ok": True, "tags": ["a", "b"], "gone": None},
        {"text": "2024-05-02 10:00:00", "n": None, "x": 2.5, "ok": False, "tags": [], "gone": None},
        {"text": "", "n": 3, "x": float("nan")},
    ]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert contents(path) == {
        "text": ["2024-05-01", "2024-05-02 10:00:00", None],
        "n": [7, None, 3],
        "x": [1.0, 2.5, None],
        "ok": [True, False, None],
        "tags": [["a", "b"], [], None],
        "gone": [None, None, None],
    }


def test_mixed_jsonl_cells_become_text_as_json_writes_them(tmp_path):
    rows = [{"a": 7, "b": True, "c": "x", "d": 2**70}, {"a": "x", "b": 1, "c": ["y", "é"], "d": 1}]
    assert contents(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))) == {
        "a": ["7", "x"],
        "b": ["true", "1"],
        "c": ["x", '["y", "é"]'],
        "d": ["1180591620717411303424", "1"],
    }


def test_what_only_later_batches_show_still_decides_the_type(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    rows = [{"a": None, "b": 1, "c": 1}] * 5 + [{"a": "x.png", "b": 1.5, "c": "one", "late": [1]}]
    assert contents(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))) == {
        "a": [None] * 5 + ["x.png"],
        "b": [1.0] * 5 + [1.5],
        "c": ["1"] * 5 + ["one"],
        "late": [None] * 5 + [[1]],
    }


def test_parquet_keeps_types_and_reads_categories_as_what_they_stand_for(tmp_path):
    path = tmp_path / "a.parquet"
    frame = {"text": pd.Categorical(["a", "", None]), "split": [1.0, np.nan, 2.0], "ok": [True, None, False]}
    pd.DataFrame(frame).to_parquet(path)
    table = Table(path)
    assert contents(path) == {"text": ["a", None, None], "split": [1.0, None, 2.0], "ok": [True, None, False]}
    for name in table.column_names:
        assert table.empty(name).tolist() == [cell is None for cell in table.column(name)]
    assert [table.rows_where("split", 1).tolist(), table.rows_where("ok", False).tolist()] == [[0], [2]]


def test_nan_in_parquet_is_empty(tmp_path):
    pq.write_table(pa.table({"x": [1.0, float("nan"), None]}), tmp_path / "a.parquet")
    table = Table(tmp_path / "a.parquet")
    assert table.empty("x").tolist() == [False, True, True]
    assert list(table.distinct("x")) == [(0, 1.0)]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "large"])
def test_a_cell_of_white_space_alone_is_empty_however_it_is_asked_for(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)  # so that columns have several chunks
    cells = ["a", " ", "\t \n", "\u00a0\u3000", " b ", "", "\u200b", "a"]  # a zero-width space is a character
    split = ["train"] * 4 + ["val"] * 4
    path = tmp_path / f"t.{'parquet' if ending == 'large' else ending}"
    if ending in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="," if ending == "csv" else "\t").writerows(
                [("text", "split"), *zip(cells, split, strict=True)]
            )
    elif ending == "jsonl":
        path.write_text("\n".join(json.dumps({"text": c, "split": s}) for c, s in zip(cells, split, strict=True)))
    else:
        kind = pa.large_string() if ending == "large" else pa.string()
        pq.write_table(pa.table({"text": pa.array(cells, kind), "split": split}), path)
    table = Table(path)
    expected = ["a", None, None, None, " b ", None, "\u200b", "a"]
    assert table.column("text") == expected
    assert table.column("text", [7, 3, 1]) == ["a", None, None]
    assert [table.cell(row, "text") for row in range(8)] == expected
    assert table.empty("text").tolist() == [cell is None for cell in expected]
    assert [cell for _, cell in table.distinct("text")] == ["a", " b ", "\u200b"]
    codes = table.codes("text").tolist()
    assert [code == -1 for code in codes] == [cell is None for cell in expected]
    assert codes[0] == codes[7] and len({codes[0], codes[4], codes[6]}) == 3
    assert table.shared("text", range(4), range(4, 8)) == 1  # the "a" of the last row; blank cells are not alike


def test_arrow_and_python_mean_the_same_by_white_space():
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert is_blank(pa.array(characters)).to_pylist() == [is_empty(character) for character in characters]


# asking


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 3)  # so that columns have several chunks
    rows = [f"t{i},{i % 3 or ''},{('train', 'val')[i % 2]}" for i in range(10)]
    return Table(write(tmp_path, "m.csv", "\n".join(["text,label,split", *rows])))


def test_cells_columns_and_rows(table):
    assert len(table) == 10
    assert [table.cell(4, "text"), table.cell(4, "label"), table.cell(9, "label")] == ["t4", "1", None]
    assert table.column("label", [9, 0, 4, 4]) == [None, None, "1", "1"]
    assert table.column("label", np.array([], np.int64)) == []
    assert table.rows_where("split", "val").tolist() == [1, 3, 5, 7, 9]
    assert table.rows_where("split", "test").tolist() == []
    assert table.empty("label").tolist() == [i % 3 == 0 for i in range(10)]


def test_distinct_cells_come_with_their_first_row(table):
    assert list(table.distinct("label")) == [(1, "1"), (2, "2")]
    assert list(table.distinct("label", [6, 8, 7, 5, 4])) == [(8, "2"), (7, "1")]


def test_distinct_lists(tmp_path):
    rows = [{"tags": tags} for tags in (["a"], [], ["a"], None, ["b"])]
    table = Table(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert list(table.distinct("tags")) == [(0, ["a"]), (1, []), (4, ["b"])]
    with pytest.raises(DataError, match="cells of 'tags' are list.*a word or number is needed"):
        table.rows_where("tags", "a")


def test_an_unknown_column_is_told_with_the_nearest_and_all(table):
    message = r"m.csv has no column 'lable'\. Did you mean 'label'\? Columns: text, label, split\. Why not\?$"
    with pytest.raises(DataError, match=message):
        table.require("lable", "Why not?")
    for ask in (
        table.column,
        table.empty,
        lambda name: table.rows_where(name, "x"),
        lambda name: list(table.distinct(name)),
    ):
        with pytest.raises(DataError, match="no column 'lable'"):
            ask("lable")


def test_rows_are_named_from_one_with_the_line_in_the_file(tmp_path):
    text = 'text,split\r\n"two\r\nlines",a\r\n\r\nlast,b\r\n'
    table = Table(write(tmp_path, "a.csv", text))
    assert table.where(0) == f"{tmp_path / 'a.csv'}, row 1 (line 2)"
    assert table.where(1) == f"{tmp_path / 'a.csv'}, row 2 (line 5)"
    assert text.split("\r\n")[5 - 1] == "last,b"
    table = Table(write(tmp_path, "a.jsonl", '{"a": 1}\n\n{"a": 2}\n'))
    assert table.where(1) == f"{tmp_path / 'a.jsonl'}, row 2 (line 3)"
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "a.parquet")
    assert Table(tmp_path / "a.parquet").where(1) == f"{tmp_path / 'a.parquet'}, row 2"


# the cache


def test_a_changed_file_is_noticed_even_at_the_same_size_and_time(tmp_path):
    path = write(tmp_path, "a.csv", "text,split\nold,x\n")
    before = path.stat()
    assert contents(path)["text"] == ["old"]
    write(tmp_path, "a.csv", "text,split\nnew,x\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert contents(path)["text"] == ["new"]


def test_a_changed_file_is_noticed_when_it_is_too_large_to_hash(tmp_path, monkeypatch):
    from mmbert.data.tables import arrow_cache

    monkeypatch.setattr(arrow_cache, "HASHED_BYTES", 0)
    path = write(tmp_path, "a.csv", "text,split\nold,x\n")
    assert contents(path)["text"] == ["old"]
    write(tmp_path, "a.csv", "text,split\nnew,x\n")
    assert contents(path)["text"] == ["new"]


def test_a_file_is_parsed_once(tmp_path, monkeypatch):
    path = write(tmp_path, "a.jsonl", '{"text": "parsed once"}\n')
    Table(path)
    monkeypatch.setattr(JsonLines, "batches", None)
    monkeypatch.setattr(JsonLines, "schema", None)
    assert contents(path)["text"] == ["parsed once"]


def test_two_processes_open_the_same_file_at_once(tmp_path):
    path = write(tmp_path, "a.csv", "text,split\n" + "\n".join(f"t{i},x" for i in range(20_000)))
    code = (
        f"from mmbert.data.tables.table import Table; t = Table({str(path)!r}); print(len(t), t.cell(19_999, 'text'))"
    )
    env = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")}

    def opened(_):
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(opened, range(2)):
            assert (done.returncode, done.stdout, done.stderr) == (0, "20000 t19999\n", "")


def test_memory_does_not_grow_with_the_table(tmp_path):
    path = tmp_path / "big.parquet"
    texts = [f"{i:050d}" for i in range(200_000)]  # 10 MB
    pq.write_table(pa.table({"text": texts}), path)
    Table(path)
    del texts
    before = pa.total_allocated_bytes()
    table = Table(path)
    assert table.cell(123_456, "text") == f"{123_456:050d}"
    assert pa.total_allocated_bytes() - before < 100_000
    copy = pickle.dumps(table)  # what a worker that is not forked receives
    assert len(copy) < 2_000
    assert pickle.loads(copy).cell(199_999, "text") == f"{199_999:050d}"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bars_are_for_terminals(terminal, tmp_path, monkeypatch, capfd):
    from mmbert.data.tables import arrow_cache

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    Table(write(tmp_path, "a.csv", f"text,split\nshown {terminal},x\n"))
    assert ("Generating rows" in capfd.readouterr().err) == terminal
    assert not arrow_cache.datasets.are_progress_bars_disabled()


# refusals


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a.csv is empty \(0 bytes\)"),
        ("a.csv", "\n\n", "its first line must name the columns"),
        ("a.csv", "text,split\n", "a.csv has no rows"),
        (
            "a.csv",
            "text,split\na,b\na,b,c\n",
            r"row 2 \(line 3\) has 3 cells, but the header has 2 columns.*quotation marks",
        ),
        ("a.csv", "text,split\na,b,c\nd,e,f\n", r"row 1 \(line 2\) has 3 cells"),
        ("a.csv", "text,split\nhello\nworld,train\n", r"row 1 \(line 2\) has 1 cells"),
        ("a.csv", 'text,split\na,b\n"c,d\ne,f\n', "line 3: unexpected end of data.*quotation mark"),
        ("a.tsv", 'text\tsplit\n"Hi," he said\tb\n', "line 2: .*expected after.*doubled"),
        ("a.csv", "text,split,text\na,b,c\n", "two columns called 'text': rename one"),
        ("a.csv", "text,split\ncafé,b\n".encode("latin-1"), "a.csv is not UTF-8.*Save it as UTF-8"),
        ("a.csv", "text,split\na,b\n".encode("utf-16"), "a.csv is not UTF-8"),
        ("a.jsonl", "\n", "a.jsonl has no rows"),
        (
            "a.jsonl",
            '{"a": 1}\n\n{"a": 1 "b": 2}\n',
            "a.jsonl, line 3 is no JSON: Expecting ',' delimiter at character 9",
        ),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 is no JSON object: write one {...} a line"),
        ("a.jsonl", '{"a": "\\ud83d"}\n', "a.jsonl, line 1 is no JSON: .*surrogates"),
        ("a.parquet", "PAR1 or not", "a.parquet cannot be read as PARQUET"),
        ("a.ods", "x", "a.ods: tables end in .csv, .tsv, .jsonl, .ndjson, .parquet, .xlsx"),
    ],
)
def test_a_broken_table_is_told_with_file_and_place(name, content, message, tmp_path, capfd):
    with pytest.raises(DataError, match=message) as caught:
        Table(write(tmp_path, name, content))
    assert str(tmp_path) in str(caught.value)
    assert capfd.readouterr().err == ""  # the message says it all


def test_a_table_that_is_not_there(tmp_path):
    write(tmp_path, "manifest.csv", "text,split\na,b\n")
    with pytest.raises(DataError, match="manifst.csv: there is no such file. Did you mean 'manifest.csv'?"):
        Table(tmp_path / "manifst.csv")
    with pytest.raises(DataError, match="is a folder; data.path must name a table"):
        Table(tmp_path)
    with pytest.raises(DataError, match="nowhere/a.csv: there is no such file"):
        Table(tmp_path / "nowhere" / "a.csv")


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    from mmbert.data.tables import arrow_cache

    monkeypatch.setattr(arrow_cache.datasets.config, "HF_DATASETS_CACHE", write(tmp_path, "file", "x"))
    with pytest.raises(DataError, match="cannot be kept in the cache .*Set the environment variable HF_DATASETS_CACHE"):
        Table(write(tmp_path, "a.csv", "text,split\na,nowhere to write\n"))


# names of columns


def test_names_are_found_without_regard_to_blanks_and_to_how_accents_are_spelt(tmp_path):
    composed, decomposed = "\xe9t\xe9", "e\u0301te\u0301"
    pq.write_table(
        pa.table({f"{decomposed} ": ["x"], "\u6587\u672c": ["y"], "a": ["1"], " a": ["2"]}), tmp_path / "a.parquet"
    )
    table = Table(tmp_path / "a.parquet")
    assert table.has_column(composed) and table.column(composed) == ["x"] and table.cell(0, decomposed) == "x"
    assert table.cell(0, "\u6587\u672c ") == "y"
    assert table.column("a") == ["1"] and table.column(" a") == ["2"]  # exact names come first
    with pytest.raises(DataError, match="no column 'a '"):
        table.column("a ")  # which of the two?


def test_a_column_that_cannot_be_read_is_named_with_its_type_when_it_is_asked_for(tmp_path):
    maps = pa.array([[("speaker", "s1")]], pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"text": ["x"], "meta": maps}), tmp_path / "a.parquet")
    table = Table(tmp_path / "a.parquet")
    assert table.column_names == ["text"] and table.cell(0, "text") == "x"
    with pytest.raises(DataError, match="the column 'meta' cannot be read: its type is map<"):
        table.require("meta")


# pictures and sounds within the table


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_cells_of_bytes_are_media_and_no_bytes_are_an_empty_cell(tmp_path, kind):
    pq.write_table(pa.table({"image": pa.array([b"one", None, b""], kind)}), tmp_path / "a.parquet")
    table = Table(tmp_path / "a.parquet")
    assert table.is_media("image") and not table.is_text("image")
    assert table.empty("image").tolist() == [False, True, True]
    assert table.column("image") == [b"one", None, None] and table.cell(2, "image") is None


def test_a_structure_of_bytes_alone_is_media_and_others_are_not(tmp_path):
    columns = {"image": [{"bytes": b"one"}, {"bytes": None}], "other": [{"bytes": 3, "unit": "kB"}] * 2}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = Table(tmp_path / "a.parquet")
    assert table.is_media("image") and table.empty("image").tolist() == [False, True]
    assert not table.is_media("other")


def test_what_was_guessed_is_noted(tmp_path):
    assert Table(write(tmp_path, "a.csv", "text,label\nx,y\n")).notes == []
    (note,) = Table(write(tmp_path, "b.csv", "text;label\nx;y\n")).notes
    assert note.startswith("b.csv: its cells are separated by semicolons")


def test_cells_are_compared_by_one_rule_and_not_as_they_are_written(tmp_path):
    cells = ["cat", " cat", "cat ", "1", "1.0", "TRUE", "true", "Cat", "", "007"]
    path = write(tmp_path, "a.csv", "x\n" + "\n".join(f'"{cell}"' for cell in cells))
    table = Table(path)
    assert table.codes("x").tolist() == [0, 0, 0, 1, 1, 2, 2, 3, -1, 4]
    assert table.coded("x", [9, 0, 8, 1]) == (pytest.approx([0, 1, -1, 1]), ["007", "cat"])
    assert [table.rows_where("x", value).tolist() for value in (" cat", 1, True, "7")] == [
        [0, 1, 2],
        [3, 4],
        [5, 6],
        [],
    ]
    assert table.shared("x", [0, 3], [1, 2, 4, 7, 8, 9]) == 3


def test_words_that_count_as_empty_do_so_in_workers_too(tmp_path):
    table = Table(write(tmp_path, "a.csv", "x,y\nNA,a\nb,na\n-,c\n"))
    table.take_for_empty(["NA", "-"])
    for one in (table, pickle.loads(pickle.dumps(table))):
        assert one.column("x") == [None, "b", None] and one.column("y") == ["a", None, "c"]
        assert one.empty("x").tolist() == [True, False, True] and one.cell(0, "x") is None
        assert list(one.distinct("y")) == [(0, "a"), (2, "c")] and one.codes("x").tolist() == [-1, 0, -1]


@pytest.mark.parametrize("name", [123, True, 1.5])
def test_a_name_that_yaml_read_as_a_number_is_told(name, tmp_path):
    (tmp_path / "t.csv").write_text("123,label\na,b\n")
    table = Table(tmp_path / "t.csv")
    assert table.has_column("123")
    with pytest.raises(ConfigError, match=rf"t\.csv: {name} is meant to name a column.*put quotes.*\"{name}\""):
        table.require(name)


def test_bytes_that_are_no_text_are_named_with_table_and_column(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"split": pa.array([b"train", b"\xff\xfe"], pa.binary())}), path)
    with pytest.raises(DataError, match=r"t\.parquet, column 'split': a text is needed, not 2 bytes"):
        Table(path).coded("split")


def test_an_empty_path_is_no_table():
    with pytest.raises(ConfigError, match="data.path is empty"):
        Table("")
