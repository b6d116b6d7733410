"""What an encoder may learn from: the rows of train alone, with the row's name where a cell cannot be used."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.table import Table
from mmbert.data.tables.train_cells import TrainCells


def cells(tmp_path, rows, **more):
    return TrainCells(Table(tmp_path / "t.csv"), "x", modality_named("features"), np.array(rows), **more)


def test_rows_of_train_and_no_other(tmp_path):
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.full((1, 2), ord(name)))
    (tmp_path / "t.csv").write_text("x,y\na.npy,1\nb.npy,1\n,1\nc.npy,1\na.npy,1\n")
    found = [(where, next(iter(raw.values()))[0, 0]) for where, raw in cells(tmp_path, [0, 2, 3, 4]).raws()]
    assert [value for _, value in found] == [97, 99, 97]  # repeated cells count as often as they stand
    assert found[1][0] == f"{tmp_path / 't.csv'}, row 4 (line 5), column 'x'"


def test_a_cell_that_cannot_be_used_is_named_or_passed_over(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 2)))
    (tmp_path / "t.csv").write_text("x\ngone.npy\na.npy\n../t/a.npy\n")
    with pytest.raises(DataError, match=r"row 1 \(line 2\), column 'x': .*gone.npy"):
        list(cells(tmp_path, [0, 1]).raws())
    assert len(list(cells(tmp_path, [0, 1], skip=True).raws())) == 1


def test_files_outside_the_folder_are_read_only_if_trusted(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    np.save(tmp_path / "a.npy", np.zeros((1, 2)))
    (inner / "t.csv").write_text("x\n../a.npy\n")
    assert len(list(cells(inner, [0]).raws())) == 1
    with pytest.raises(DataError, match="trusted=false"):
        list(cells(inner, [0], trusted=False).raws())
    assert not list(cells(inner, [0], trusted=False, skip=True).raws())
