"""Results of a run: the score of its checkpoint, and samples as loggers show them."""

import math
from types import SimpleNamespace

import pytest

from mmbert.core.privacy import Privacy
from mmbert.core.types import InputFile
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.text import TextEncoder
from mmbert.training.results import Results, shown_samples, write_cell


def test_the_score_is_the_monitored_value():
    assert Results(["test"], {"value": 0.25}).score == 0.25
    assert math.isnan(Results(["test"], {"value": None}).score)


@pytest.mark.parametrize(("name", "file"), [("a/b/cat.png", "3_image.png"), (None, "3_image")])
def test_bytes_of_a_table_become_a_file_with_their_ending(tmp_path, name, file):
    path = write_cell(b"123", name, tmp_path / "samples" / "3_image")
    assert path == tmp_path / "samples" / file and path.read_bytes() == b"123"


def test_samples_are_files_where_the_table_names_files(tmp_path):
    cells = {0: "pictures/a.png", 1: {"bytes": b"123", "path": "b.jpg"}, 2: None}
    rows = SimpleNamespace(cell=lambda row, column: cells[row], folder=tmp_path)
    processor = ImageProcessor((2, 2), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    data = SimpleNamespace(processors={"image": processor}, table=rows, column_of=lambda name: name)
    table = SimpleNamespace(records=lambda limit: [{"row": row, "answer": "x"} for row in range(limit)])
    first, second, third = shown_samples(table, data, 3, tmp_path / "samples")
    assert first == {"row": 0, "image": InputFile(str(tmp_path / "pictures/a.png"), "image"), "answer": "x"}
    assert second["image"].path == str(tmp_path / "samples" / "1_image.jpg")
    assert third["image"] is None


def test_samples_are_masked_where_they_are_shown(tmp_path):
    (tmp_path / "a@b.org.png").write_bytes(b"123")
    cells = {"image": "a@b.org.png", "text": "by a@b.org"}
    rows = SimpleNamespace(cell=lambda row, column: cells[column], folder=tmp_path)
    processors = {"image": ImageProcessor((2, 2), (0.5,) * 3, (0.5,) * 3), "text": TextEncoder("tiny").processor}
    data = SimpleNamespace(processors=processors, table=rows, column_of=lambda name: name)
    table = SimpleNamespace(records=lambda limit: [{"row": 0}])
    (shown,) = shown_samples(table, data, 1, tmp_path / "samples", Privacy(mask=["email"]))
    assert shown["text"] == "by [email]"
    assert shown["image"] == InputFile(str(tmp_path / "samples" / "0_image.png"), "image")
    assert (tmp_path / "samples" / "0_image.png").read_bytes() == b"123"
    cells["image"] = "gone@b.org.png"
    (shown,) = shown_samples(table, data, 1, tmp_path / "samples", Privacy(mask=["email"]))
    assert shown["image"].path.endswith("/[email]")
