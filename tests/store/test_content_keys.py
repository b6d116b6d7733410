"""Keys of contents: equal bytes, equal keys, wherever they are; no file is read twice, and no change is missed."""

import os
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.file_memo import FileMemo
from mmbert.data.tables.table import Table
from mmbert.store import content_keys as content_keys_module
from mmbert.store.content_keys import content_keys, file_key


@pytest.fixture
def folder(tmp_path):
    for name, content in (("a.png", b"one"), ("b.png", b"two"), ("c.png", b"one")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1_000_000_000, 1_000_000_000))
    return tmp_path


def paths(folder, *names):
    return [str(folder / f"{name}.png") for name in names]


def test_keys_are_xxh3_of_the_bytes(folder):
    digest = xxhash.xxh3_128_intdigest(b"one")
    keys = FileMemo(folder / "memo.npy", file_key).keys(paths(folder, "a", "b", "c", "missing"))
    assert keys[0].tolist() == [digest >> 64, digest % 2**64]
    assert keys[0].tolist() == keys[2].tolist() != keys[1].tolist()
    assert keys[3].tolist() == [0, 0]


def test_files_are_read_once(folder, monkeypatch):
    memo = FileMemo(folder / "memo.npy", file_key)
    first = memo.keys(paths(folder, "a", "b"))
    memo.save()
    monkeypatch.setattr(content_keys_module, "file_key", lambda path: pytest.fail(f"{path} was read again"))
    again = FileMemo(folder / "memo.npy", file_key)
    np.testing.assert_array_equal(again.keys(paths(folder, "b", "a"))[::-1], first)
    assert not again.changed


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"longer"),
        lambda path: (path.write_bytes(b"eno"), os.utime(path, (1_000_000_001, 1_000_000_001))),
        lambda path: (path.rename(path.with_suffix(".old")), path.write_bytes(b"eno"), os.utime(path, (10**9, 10**9))),
    ],
    ids=["size", "time", "inode"],
)
def test_a_changed_file_is_read_again(folder, change):
    memo = FileMemo(folder / "memo.npy", file_key)
    before = memo.keys(paths(folder, "a", "b"))
    change(folder / "a.png")
    after = memo.keys(paths(folder, "a", "b"))
    assert before[0].tolist() != after[0].tolist()
    assert before[1].tolist() == after[1].tolist()


def test_a_file_that_was_just_written_is_not_believed(folder):
    path, memo = folder / "a.png", FileMemo(folder / "memo.npy", file_key)
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    before = memo.keys([str(path)])
    inode = path.stat().st_ino
    with path.open("r+b") as file:  # as long, as old, the same inode: what a clock that ticks slowly lets happen
        file.write(b"eno")
    os.utime(path, ns=(now, now))
    assert path.stat().st_ino == inode
    assert memo.keys([str(path)]).tolist() != before.tolist()


def test_a_broken_memo_is_begun_anew(folder):
    (folder / "memo.npy").write_bytes(b"\x93NUMPY nonsense")
    assert FileMemo(folder / "memo.npy", file_key).keys(paths(folder, "a")).any()


def test_cells_in_a_table_and_files_have_the_same_keys(folder):
    cells = [{"bytes": b"one", "path": None}, {"bytes": None, "path": "b.png"}, None, {"bytes": b"two", "path": "x"}]
    pq.write_table(pa.table({"image": cells, "name": ["c.png", "b.png", None, "b.png"]}), folder / "table.parquet")
    table, memo = Table(folder / "table.parquet"), FileMemo(folder / "memo.npy", file_key)
    rows = np.array([3, 0, 1, 2])
    inside = content_keys(table, "image", rows, modality_named("image"), memo)
    named = content_keys(table, "name", rows, modality_named("image"), memo)
    np.testing.assert_array_equal(inside, named)
    assert inside[3].tolist() == [0, 0]


def test_texts_are_told_apart(tmp_path):
    (tmp_path / "t.csv").write_text('text\nYes\nyes\n"Yes "\nYes\n""\n')
    keys = content_keys(
        Table(tmp_path / "t.csv"), "text", np.arange(5), modality_named("text"), FileMemo(tmp_path / "m.npy", file_key)
    )
    distinct = {tuple(key) for key in keys.tolist()}
    assert len(distinct) == 4  # three texts and the empty cell
    assert keys[0].tolist() == keys[3].tolist()
    assert keys[4].tolist() == [0, 0]
