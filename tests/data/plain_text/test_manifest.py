"""Text files become one Parquet file, once, and a sample at a time."""

import tracemalloc

import pandas as pd
import pytest

from mmbert.core.errors import DataError
from mmbert.data.plain_text.manifest import build_text_manifest


def test_the_manifest_says_where_each_text_is_from_and_which_are_the_same(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("one\n\ntwo\none\n")
    (tmp_path / "in" / "deep" / "b.txt").write_text("two")
    manifest = build_text_manifest(tmp_path / "home", tmp_path / "in", "line", 96)
    table = pd.read_parquet(manifest)
    rows = [("one", "a.txt", 1), ("two", "a.txt", 3), ("one", "a.txt", 4), ("two", "deep/b.txt", 1)]
    assert list(table[["text", "file", "line"]].itertuples(index=False, name=None)) == rows
    assert table["same"].nunique() == 2 and table["same"][0] == table["same"][2] != table["same"][1]


def test_it_is_built_again_when_a_file_or_an_option_changes_and_only_then(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one two three")
    first = build_text_manifest(tmp_path, path, "line", 96)
    written = first.stat().st_mtime_ns
    assert build_text_manifest(tmp_path, path, "line", 7) == first and first.stat().st_mtime_ns == written
    assert build_text_manifest(tmp_path, path, "block", 7) != first
    path.write_text("one two three four")
    assert pd.read_parquet(build_text_manifest(tmp_path, path, "line", 96))["text"].tolist() == ["one two three four"]


def test_blank_files_and_places_that_cannot_be_written_are_told(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(" \n\n")
    with pytest.raises(DataError, match=r"a.txt: there is no text, only blanks"):
        build_text_manifest(tmp_path / "home", path, "line", 96)
    assert not list((tmp_path / "home").glob("text-*"))
    path.write_text("one")
    with pytest.raises(DataError, match=r"The texts cannot be kept in .*data.folder=DIR"):
        build_text_manifest(path / "home", path, "line", 96)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peaks = []
    for rows in (40_000, 120_000):
        path = tmp_path / f"{rows}.txt"
        with path.open("w") as file:
            file.writelines(f"sentence number {i} of a long file\n" for i in range(rows))
        tracemalloc.start()
        build_text_manifest(tmp_path / "home", path, "line", 96)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
