"""data.rows_without=skip: every subset of modalities has the same rows. data.trusted=false: no file is from outside."""

import numpy as np
import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.encoders.processors.image import ImageProcessor

SUBSETS = [["text"], ["image"], ["text", "image"]]


class Words:
    """The preprocessing of a text encoder, as far as it matters here."""

    kind = "text"


@pytest.fixture
def folder(tmp_path):
    """Of each split six rows: the second has no picture, the third no text, the fourth neither."""
    place = tmp_path / "set"
    place.mkdir()
    for file in (tmp_path / "private.png", place / "a.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file)
    rows = [
        f"{split},{text},{image}"
        for split in ("train", "val", "test")
        for text, image in (("a", "a.png"), ("a", ""), ("", "a.png"), ("", ""), ("a", "a.png"), ("b", "a.png"))
    ]
    (place / "t.csv").write_text("\n".join(["split,text,image", *rows]) + "\n")
    return place


def bound(folder, encoders, **options):
    processors = {"text": Words(), "image": ImageProcessor((4, 4), (0.5,) * 3, (0.5,) * 3)}
    columns = {"text": "text", "image": "image", "audio": "audio", "split": "split"}
    data = MultimodalData(folder / "t.csv", columns=columns, num_workers=0, **options)
    data.bind({name: processors[name] for name in encoders}, {})
    return data


@pytest.mark.parametrize("encoders", SUBSETS)
def test_every_subset_has_the_rows_that_lack_nothing(folder, encoders):
    data = bound(folder, encoders, rows_without="skip")
    assert {split: rows.tolist() for split, rows in data.rows.items()} == {
        "train": [0, 4, 5],
        "val": [6, 10, 11],
        "test": [12, 16, 17],
    }
    assert sorted(data.skipped) == [1, 2, 3, 7, 8, 9, 13, 14, 15]
    assert data.facts()["skipped_rows"] == 9
    assert data.notes == ["data.rows_without=skip leaves out 9 rows with a gap"]


@pytest.mark.parametrize("encoders", SUBSETS)
def test_otherwise_rows_that_lack_everything_are_an_error_that_names_the_option(folder, encoders):
    with pytest.raises(DataError, match="every modality is missing.*data.rows_without=skip"):
        bound(folder, encoders)


def test_an_encoder_that_columns_do_not_name_counts_in_its_own_run(folder):
    data = MultimodalData(folder / "t.csv", num_workers=0, rows_without="skip")
    assert data.leave_out_incomplete(["image"]) == 6
    assert data.rows["train"].tolist() == [0, 2, 4, 5]


def test_a_split_in_which_no_row_is_complete_is_named(folder):
    table = folder / "t.csv"
    table.write_text(table.read_text().replace("test,a,a.png", "test,a,").replace("test,b,a.png", "test,b,"))
    with pytest.raises(DataError, match="No row of 'test' can be.*column 'image' is empty.*data.rows_without=skip"):
        bound(folder, ["text"], rows_without="skip")


def test_files_outside_the_folder_are_read_unless_that_is_forbidden(folder):
    table = folder / "t.csv"
    table.write_text(table.read_text().replace("train,b,a.png", "train,b,../private.png"))
    assert 5 in bound(folder, ["text", "image"], on_error="skip").rows["train"]
    with pytest.raises(DataError, match=r"row 6.*column 'image': \.\./private\.png lies outside.*data\.trusted=true"):
        bound(folder, ["text", "image"], trusted=False)
    data = bound(folder, ["text", "image"], trusted=False, on_error="skip")
    assert 5 not in data.rows["train"] and "lies outside" in data.skipped[5]
    assert 5 in bound(folder, ["text"], trusted=False, on_error="skip").rows["train"]  # the picture is not read
