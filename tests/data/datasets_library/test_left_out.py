"""What the library leaves out of a folder is counted and named."""

import io
import tarfile

import pyarrow as pa
import pytest
from PIL import Image

from mmbert.data.datasets_library.left_out import listed, media_paths, members
from mmbert.data.huggingface import HuggingFaceData, HuggingFaceTable
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data

BOTH = {"txt": b"a text", "cls": b"1"}
THREE = {**BOTH, "json": b'{"speaker": "s1"}'}


def write_shard(path, samples):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, content in enumerate(samples):
            for ending, data in content.items():
                info = tarfile.TarInfo(f"{number:03d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def pictures(tmp_path):
    """Seven pictures, of which metadata.csv names five."""
    folder = tmp_path / "pictures"
    for split, count in (("train", 5), ("test", 2)):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 6), (30 * number, 10, 20)).save(folder / split / f"{number}.png")
    (folder / "train" / "metadata.csv").write_text("file_name,text\n" + "".join(f"{n}.png,t{n}\n" for n in (0, 2, 4)))
    (folder / "test" / "metadata.csv").write_text("file_name,text\n0.png,a\n1.png,b\n")
    return folder


def test_pictures_without_a_row_of_metadata_are_counted_and_named(pictures):
    table = HuggingFaceTable(pictures)
    assert len(table) == 5
    assert table.notes == [
        "split 'train': 2 of 5 files stand in no row of metadata.csv (.jsonl, .parquet) and are left out: 1.png, 3.png"
    ]
    data = HuggingFaceData(pictures, splits={"train": "train", "val": "test"}, num_workers=0)
    report = check_data(data, {"text": EncoderInput(modality_named("text"))}, {})
    assert ("warning", table.notes[0]) in [(finding.severity, finding.what) for finding in report.findings]


def test_a_folder_in_which_every_picture_has_its_row_leaves_nothing_out(pictures):
    for name in ("1.png", "3.png"):
        (pictures / "train" / name).unlink()
    assert HuggingFaceTable(pictures).notes == []
    for split in ("train", "test"):
        (pictures / split / "metadata.csv").unlink()
    table = HuggingFaceTable(pictures)  # without metadata every picture is a row
    assert len(table) == 5 and table.notes == []


def test_a_field_that_comes_after_the_fifth_sample_is_named_with_its_count(tmp_path):
    write_shard(tmp_path / "set" / "train.tar", [BOTH] * 5 + [THREE] * 3)
    table = HuggingFaceTable(tmp_path / "set")
    assert len(table) == 8 and not table.has_column("json")
    (note,) = table.notes
    assert note.startswith(
        "split 'train': the members .json of 3 of 8 samples, first of 005 in train.tar, are left out"
    )


def test_shards_whose_fields_are_all_read_are_not_remarked_on(tmp_path):
    write_shard(tmp_path / "set" / "train.tar", [THREE] * 5 + [BOTH])
    table = HuggingFaceTable(tmp_path / "set")
    assert table.notes == [] and table.column("json")[5] is None


def test_members_paths_and_lists(tmp_path):
    assert list(members(str(write_shard(tmp_path / "x" / "a.tar", [BOTH])))) == [("000", "txt"), ("000", "cls")]
    media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([[{"bytes": None, "path": "a"}, {"bytes": b"x", "path": None}], [], None], pa.list_(media))
    assert list(media_paths(pa.chunked_array([cells]))) == ["a"]
    assert list(media_paths(pa.chunked_array([["a"]]))) == []
    assert listed("abcdefg") == "a, b, c, d, e and 2 more" and listed("ab") == "a, b"
