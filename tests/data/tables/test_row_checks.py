"""Rows that cannot be used are found before training, each with what is wrong, and refused with the first of them."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.row_checks import (
    check_files,
    check_labels,
    check_rows,
    file_fault,
    incomplete_rows,
    rows_without_modality,
    unusable_labels,
    unusable_rows,
)
from mmbert.data.tables.table import Table
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression

COLUMNS = {"text": "words", "image": "picture"}


@pytest.fixture
def table(tmp_path):
    """Rows 1 and 4 have nothing; the picture of row 2 is empty, that of row 3 is not there."""
    (tmp_path / "good.png").write_bytes(b"bytes")
    (tmp_path / "empty.png").write_bytes(b"")
    rows = ["a,good.png", ",", "b,empty.png", ",gone.png", ","]
    (tmp_path / "a.csv").write_text("\n".join(["words,picture", *rows]) + "\n")
    return Table(tmp_path / "a.csv")


@pytest.fixture
def inputs():
    return {name: modality_named(name) for name in COLUMNS}


def test_rows_without_any_modality_are_found_and_what_was_taken_away_is_missing_too(table):
    every = np.arange(5)
    assert rows_without_modality(table, every, COLUMNS).tolist() == [1, 4]
    assert rows_without_modality(table, [4, 0, 1], COLUMNS).tolist() == [4, 1]
    taken = {"image": np.array([False, False, False, True, False])}
    assert rows_without_modality(table, every, COLUMNS, taken).tolist() == [1, 3, 4]
    with pytest.raises(DataError, match=r"row 2 \(line 3\).*words, picture are empty.*\(2 rows are like that.\)"):
        check_rows(table, every, COLUMNS)
    check_rows(table, [0, 2, 3], COLUMNS)


def test_files_that_are_not_there_or_empty_are_refused(table, inputs):
    with pytest.raises(DataError, match=r"row 3.*column 'picture': .*empty.png is empty \(0 bytes\).*2 files of this"):
        check_files(table, np.arange(5), COLUMNS, inputs)
    check_files(table, [0, 1], COLUMNS, inputs)


def test_every_unusable_row_has_its_reason(table, inputs):
    found = unusable_rows(table, np.arange(5), COLUMNS, inputs, files=True)
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1] == found[4] == "every modality is missing (words, picture are empty)"
    assert found[2].startswith("column 'picture': ") and found[2].endswith("is empty (0 bytes)")
    assert "there is no file" in found[3]
    assert sorted(unusable_rows(table, np.arange(5), COLUMNS, inputs, files=False)) == [1, 4]


def test_what_is_wrong_with_a_file(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    assert file_fault(str(tmp_path / "x")) == ""
    assert file_fault(str(tmp_path)).endswith("is no file")
    assert file_fault(str(tmp_path / "y")) == f"there is no file {tmp_path / 'y'}"
    assert file_fault("a\0b").startswith("there is no file")


@pytest.mark.parametrize(("in_table", "on_disk"), [("\xe9", "e\u0301"), ("e\u0301", "\xe9")])
def test_a_file_is_found_whether_its_name_is_composed_or_decomposed(tmp_path, in_table, on_disk):
    (tmp_path / f"{on_disk}.png").write_bytes(b"bytes")
    (tmp_path / "a.csv").write_text(f"picture\n{in_table}.png\n", encoding="utf-8")
    image = modality_named("image")
    check_files(Table(tmp_path / "a.csv"), [0], {"image": "picture"}, {"image": image})
    assert image.size(f"{in_table}.png", tmp_path) == 5
    with pytest.raises(DataError, match="no picture that can be read"):  # but it is opened
        image.read(f"{in_table}.png", tmp_path)
    with open(image.content(f"{in_table}.png", tmp_path), "rb") as file:
        assert file.read() == b"bytes"


def test_rows_with_a_gap_are_found_with_the_first_column_that_is_empty(table):
    every = np.arange(5)
    found = incomplete_rows(table, every, ["words", "picture"])
    assert list(found) == [1, 3, 4] and found[1].startswith("column 'words' is empty")
    assert list(incomplete_rows(table, [4, 0], ["picture"])) == [4]
    assert incomplete_rows(table, every, []) == {}


def test_rows_without_any_modality_name_both_ways_of_leaving_rows_out(table):
    with pytest.raises(DataError, match="data.on_error=skip leaves.*data.rows_without=skip.*all subsets have the same"):
        check_rows(table, np.arange(5), COLUMNS)


def test_every_row_with_an_unusable_label_is_found_and_says_why(tmp_path):
    rows = ["cat,1.5,a|b", "dog,one,a", "cat,2,a", "dgo,one,", "dgo,,a|c"]
    (tmp_path / "a.csv").write_text("\n".join(["animal,price,tags", *rows]) + "\n")
    table, every = Table(tmp_path / "a.csv"), np.arange(5)
    tasks = {
        "animal": Classification(2, "animal", ["cat", "dog"]),
        "price": Regression(2, "price", 0.0, 1.0),
        "tags": Multilabel(2, "tags", ["a", "b"]),
        "absent": Regression(2, "no such column", 0.0, 1.0),
    }
    found = unusable_labels(table, every, tasks, {}, {})
    assert sorted(found) == [1, 3, 4]
    assert found[1] == "column 'price': 'one' is no finite number"
    assert found[3] == found[4] and found[3].startswith(
        "column 'animal': the label 'dgo' is no class of the train split"
    )
    assert unusable_labels(table, [0, 2], tasks, {}, {}) == {}
    with pytest.raises(DataError, match=r"row 4 \(line 5\), column 'animal'.*data.on_error=skip leaves such rows out"):
        check_labels(table, every, tasks)
    check_labels(table, [0, 2], tasks)
