"""What was found in files is remembered until they change; of equal names each is read once."""

import os

import numpy as np
import pytest

from mmbert.data.tables.file_memo import FileMemo

OLD = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def folder(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name * 3)
        os.utime(tmp_path / name, OLD)
    return tmp_path


def counting(read):
    def of(path):
        read.append(os.path.basename(path))
        return 1, os.path.getsize(path)

    return of


def test_a_file_that_many_rows_name_is_read_once_and_never_again(folder):
    read = []
    paths = [str(folder / name) for name in ("a", "b", "a", "missing", "a")]
    memo = FileMemo(folder / "memo.npy", counting(read))
    found = memo.keys(paths)
    np.testing.assert_array_equal(found, [[1, 3], [1, 3], [1, 3], [0, 0], [1, 3]])
    assert sorted(read) == ["a", "b"]
    memo.save()
    again = FileMemo(folder / "memo.npy", counting(read))
    np.testing.assert_array_equal(again.keys(paths), found)
    assert sorted(read) == ["a", "b"] and not again.changed
    (folder / "a").write_text("longer")
    os.utime(folder / "a", OLD)
    assert again.keys(paths)[:2].tolist() == [[1, 6], [1, 3]] and read.count("a") == 2
