"""Pictures and sounds whose bytes lie in a Parquet column are those of files; no message holds bytes."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.tables.row_checks import check_files, unusable_rows
from mmbert.data.tables.table import Table
from mmbert.data.tables.vector_width import first_vector_width

READS = {kind: EncoderInput(modality_named(kind)) for kind in ("image", "audio")}


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


def wav(seed):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(seed).normal(0, 0.1, 800), 8000, format="WAV")
    return buffer.getvalue()


PICTURES, SOUNDS = [png((200, 0, 0)), None, png((0, 0, 200))], [wav(1), wav(2), None]
SHAPES = {
    "bytes": lambda cells: pa.array(cells, pa.binary()),
    "large": lambda cells: pa.array(cells, pa.large_binary()),
    "bytes and path": lambda cells: pa.array([c and {"bytes": c, "path": "gone.png"} for c in cells]),
    "path and bytes": lambda cells: pa.array([{"path": None, "bytes": c} for c in cells]),
    "bytes alone": lambda cells: pa.array([{"bytes": c} for c in cells]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_are_read_as_the_files_that_they_were(tmp_path, shape):
    columns = {"image": SHAPES[shape](PICTURES), "audio": SHAPES[shape](SOUNDS), "split": ["train", "val", "test"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    data = MultimodalData(tmp_path / "a.parquet", num_workers=0)
    table, image, audio = data.table, modality_named("image"), modality_named("audio")
    assert table.empty("image").tolist() == [False, True, False] and table.empty("audio").tolist() == [
        False,
        False,
        True,
    ]
    picture = image.read(table.cell(2, "image"), table.folder)
    assert picture.size == (4, 2) and picture.getpixel((0, 0)) == (0, 0, 200)
    samples, rate = audio.read(table.cell(1, "audio"), table.folder)
    assert rate == 8000 and np.abs(samples - soundfile.read(io.BytesIO(SOUNDS[1]), dtype="float32")[0]).max() == 0
    cell = table.cell(0, "image")
    assert image.content(cell, "") == PICTURES[0] and image.size(cell, "") == len(PICTURES[0])
    assert audio.length(table.cell(0, "audio"), "") == 0.1
    rows = np.arange(3)
    inputs = {"image": image, "audio": audio}
    check_files(table, rows, {name: name for name in inputs}, inputs)
    assert unusable_rows(table, rows, {name: name for name in inputs}, inputs, files=True) == {}
    assert check_data(data, READS, {}).findings == []


def test_bytes_that_are_no_picture_are_told_with_their_row_and_without_the_bytes(tmp_path):
    marker = b"\x00 secret bytes \xff"
    columns = {"image": pa.array([marker, png((1, 2, 3)), png((9, 2, 3))]), "split": ["train", "val", "test"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    data = MultimodalData(tmp_path / "a.parquet", num_workers=0)
    (finding,) = check_data(data, {"image": READS["image"]}, {}).findings
    assert finding.what.startswith("image, column 'image': the picture in the table: this is no picture")
    assert finding.rows == ["row 1"]
    for kind, message in (("text", "16 bytes, which are no text in UTF-8"), ("features", "its cell holds 16 bytes")):
        with pytest.raises(DataError, match=message) as caught:
            modality_named(kind).read(marker, "")
        assert "secret" not in str(caught.value)
    with pytest.raises(DataError, match=r"a text is needed, not \{bytes: 16 bytes, path: x.png\}"):
        modality_named("text").read({"bytes": marker, "path": "x.png"}, "")
    with pytest.raises(DataError, match="row 1, column 'image': its cell holds 16 bytes") as caught:
        first_vector_width(Table(tmp_path / "a.parquet"), "image", modality_named("features"), {})
    assert "secret" not in str(caught.value)


def test_bytes_that_are_a_text_are_that_text(tmp_path):
    columns = {"text": pa.array(["été".encode(), b"b"]), "label": [b"yes", b"no"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table, text = Table(tmp_path / "a.parquet"), modality_named("text")
    cell = table.cell(0, "text")
    assert text.read(cell, "") == "été" and text.inspect(cell, tmp_path, {}).quantities["characters"] == 3
    assert text.length(cell, "") == 3.0 and text.content(cell, "") == "été".encode()
    assert table.codes("label").tolist() == [0, 1]
