"""The width of a column's vectors: of its first cell that is not empty, and messages that name the row."""

import json

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.table import Table
from mmbert.data.tables.vector_width import first_vector_width

FEATURES = modality_named("features")


def table(folder, *cells):
    (folder / "t.jsonl").write_text("".join(json.dumps({"id": n, "x": cell}) + "\n" for n, cell in enumerate(cells)))
    return Table(folder / "t.jsonl")


def test_the_first_cell_that_is_there_decides(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((2, 5), np.float32))
    assert first_vector_width(table(tmp_path, None, "v.npy"), "x", FEATURES, {}) == 5


def test_lists_have_a_width_and_texts_have_none(tmp_path):
    assert first_vector_width(table(tmp_path, [1.0, 2.0, 3.0]), "x", FEATURES, {}) == 3
    assert first_vector_width(table(tmp_path, "words"), "x", modality_named("text"), {}) is None


def test_the_option_key_chooses_an_array(tmp_path):
    np.savez(tmp_path / "v.npz", a=np.zeros(2), b=np.zeros(7))
    assert first_vector_width(table(tmp_path, "v.npz"), "x", FEATURES, {"key": "b"}) == 7


def test_an_unusable_cell_and_an_empty_column_are_named(tmp_path):
    with pytest.raises(DataError, match=r"row 2 .*, column 'x': .*v.npy: there is no such file"):
        first_vector_width(table(tmp_path, None, "v.npy"), "x", FEATURES, {})
    with pytest.raises(DataError, match="the column 'x' is empty, so the width"):
        first_vector_width(table(tmp_path, None, None), "x", FEATURES, {})


def test_with_skip_the_first_cell_that_can_be_used_decides(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((2, 5), np.float32))
    lost = table(tmp_path, "gone.npy", "also_gone.npy", "v.npy")
    assert first_vector_width(lost, "x", FEATURES, {}, skip=True) == 5
    with pytest.raises(DataError, match=r"row 1 .*gone.npy: there is no such file"):
        first_vector_width(lost, "x", FEATURES, {})
    with pytest.raises(DataError, match=r"row 1 .*gone.npy: there is no such file"):
        first_vector_width(table(tmp_path, "gone.npy", "also_gone.npy"), "x", FEATURES, {}, skip=True)


def test_a_file_outside_the_folder_is_not_opened_for_its_width(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((2, 5), np.float32))
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "w.npy", np.zeros((2, 3), np.float32))
    theirs = table(tmp_path / "set", "../v.npy", "w.npy")
    assert first_vector_width(theirs, "x", FEATURES, {}) == 5
    assert first_vector_width(theirs, "x", FEATURES, {}, skip=True, trusted=False) == 3
    with pytest.raises(DataError, match="lies outside the table's folder"):
        first_vector_width(theirs, "x", FEATURES, {}, trusted=False)
