"""A table's copy in the cache: made once for the same content, anew for another, and hidden progress bars."""

import os

import datasets
import pyarrow as pa
import pytest

from mmbert.core.errors import DataError
from mmbert.data.tables import arrow_cache
from mmbert.data.tables.arrow_cache import bars_in_terminals, cached_files, causes, digest


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\none,a\ntwo,b\n")
    return path


def rows_of(files):
    return [row for file in files for row in pa.ipc.open_stream(pa.memory_map(file)).read_all().to_pylist()]


def test_the_files_hold_the_rows_and_are_made_once(table, monkeypatch):
    files = cached_files(table)
    assert rows_of(files) == [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}]
    monkeypatch.setattr(arrow_cache.TableBuilder, "_generate_tables", lambda *given: pytest.fail("read again"))
    os.utime(table, (0, 0))
    assert cached_files(table) == files
    monkeypatch.undo()
    table.write_text("text,label\nthree,c\n")
    assert rows_of(cached_files(table)) == [{"text": "three", "label": "c"}]


def test_small_files_are_known_by_content_and_large_ones_by_place_and_time(table, monkeypatch):
    before = digest(table, ".csv")
    os.utime(table, (0, 0))
    assert digest(table, ".csv") == before
    monkeypatch.setattr(arrow_cache, "HASHED_BYTES", 3)
    large = digest(table, ".csv")
    os.utime(table, (9, 9))
    assert before != large != digest(table, ".csv")
    monkeypatch.undo()
    monkeypatch.setattr(arrow_cache, "READER_VERSION", arrow_cache.READER_VERSION + 1)
    assert digest(table, ".csv") != before  # the same file, read differently


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="a.csv has no rows"):
        cached_files(tmp_path / "a.csv")


def test_errors_are_followed_to_where_they_came_from():
    first, second, third = ValueError(), KeyError(), OSError()
    first.__cause__, second.__context__ = second, third
    assert list(causes(first)) == [first, second, third]


def test_bars_are_hidden_where_there_is_no_terminal_and_only_meanwhile(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    before = datasets.are_progress_bars_disabled()
    datasets.enable_progress_bars()
    try:
        with bars_in_terminals():
            assert datasets.are_progress_bars_disabled()
        assert not datasets.are_progress_bars_disabled()
    finally:
        (datasets.disable_progress_bars if before else datasets.enable_progress_bars)()
