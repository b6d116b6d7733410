"""A folder of pictures gives the cells of its metadata.csv as data=manifest would, beside the pictures."""

import json

import pandas as pd
import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.datasets_library.media_folder import is_file_name, media_names
from mmbert.data.huggingface import HuggingFaceTable

ROWS = [("0.png", "NA", "007"), ("1.png", "1.50", "None"), ("2.png", "2020-01-01", "nan")]


def folder_with(tmp_path, write, split="train"):
    folder = tmp_path / "set" / split
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 6), (30 * number, 10, 20)).save(folder / f"{number}.png")
    write(folder)
    return tmp_path / "set"


def as_csv(folder):
    lines = ["file_name,text,label", *(",".join(row) for row in ROWS)]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def as_jsonl(folder):
    rows = [dict(zip(("file_name", "text", "label"), row, strict=True)) for row in ROWS]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(folder):
    pd.DataFrame(ROWS, columns=["file_name", "text", "label"]).to_parquet(folder / "metadata.parquet")


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_cells_are_what_is_written_and_pictures_lie_beside(tmp_path, write):
    table = HuggingFaceTable(folder_with(tmp_path, write))
    assert table.column("text") == ["NA", "1.50", "2020-01-01"] and table.column("label") == ["007", "None", "nan"]
    assert table.column("split") == ["train"] * 3 and table.notes == []
    assert [Image.open(cell["path"]).getpixel((0, 0)) for cell in table.column("image")] == [
        (0, 10, 20),
        (30, 10, 20),
        (60, 10, 20),
    ]


def test_a_message_names_the_line_of_the_metadata(tmp_path):
    folder = folder_with(tmp_path, as_csv)
    assert HuggingFaceTable(folder).where(1) == f"{folder / 'train' / 'metadata.csv'}, row 2 (line 3)"


def test_a_split_without_metadata_where_another_has_it_is_left_out_and_named(tmp_path):
    folder_with(tmp_path, as_csv)
    table = HuggingFaceTable(folder_with(tmp_path, lambda folder: None, "test"))
    assert len(table) == 3
    assert table.notes == [
        "split 'test': 3 of 3 files stand in no row of metadata.csv (.jsonl, .parquet) and are left out: 0.png, 1.png, "
        "2.png"
    ]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "a/../../b.png", "file:///etc/hostname"])
def test_a_name_outside_the_folder_is_refused_with_its_row(tmp_path, name):
    folder = folder_with(tmp_path, lambda folder: (folder / "metadata.csv").write_text(f"file_name\n0.png\n{name}\n"))
    with pytest.raises(
        DataError, match=r"metadata.csv, row 2 \(line 3\): '.*' must be a file in the folder of the table"
    ):
        HuggingFaceTable(folder)


def test_columns_that_name_files():
    assert media_names(["file_name", "scan_file_name", "text"], "image") == {
        "file_name": "image",
        "scan_file_name": "scan",
    }
    assert not is_file_name("profile_names") and not is_file_name("myfile_name")
