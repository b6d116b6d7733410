"""Cells that name files outside the table's folder are found, however they leave it, and refused where asked."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.outside_files import outside_rows, refuse_outside
from mmbert.data.tables.table import Table

IMAGE, TEXT = modality_named("image"), modality_named("text")


@pytest.fixture
def folder(tmp_path):
    """A table's folder with a picture, a folder in it, and links that lead out of it and back."""
    place = tmp_path / "set"
    (place / "sub").mkdir(parents=True)
    for file in (tmp_path / "private.png", place / "a.png", place / "sub" / "b.png"):
        file.write_bytes(b"bytes")
    (place / "link.png").symlink_to(tmp_path / "private.png")
    (place / "out").symlink_to(tmp_path)
    (place / "inner.png").symlink_to(place / "a.png")
    return place


INSIDE = ["a.png", "sub/b.png", "sub/../a.png", "inner.png", "out/set/a.png", "gone.png", "", "sub/gone/../c.png"]
OUTSIDE = ["../private.png", "link.png", "out/private.png", "/etc/hostname", "sub/../../private.png", "..", "/", "out"]


def test_every_way_out_is_found_and_nothing_else(folder):
    cells = [*INSIDE, *OUTSIDE, str(folder / "a.png")]
    (folder / "t.csv").write_text("\n".join(["image,text", *(f"{cell},{cell}" for cell in cells)]) + "\n")
    table = Table(folder / "t.csv")
    inputs = {"image": IMAGE, "text": TEXT}
    found = outside_rows(table, np.arange(len(table)), {"image": "image", "text": "text"}, inputs)
    assert [cells[row] for row in found] == OUTSIDE
    assert found[len(INSIDE)] == "column 'image': ../private.png lies outside the table's folder"
    assert list(outside_rows(table, [0, len(INSIDE) + 1], {"image": "image"}, {"image": IMAGE})) == [len(INSIDE) + 1]
    assert outside_rows(table, [0], {"image": "gone"}, {"image": IMAGE}) == {}
    assert outside_rows(Table(folder / "out" / "set" / "t.csv"), [0, 1], {"image": "image"}, {"image": IMAGE}) == {}


def test_a_link_under_another_form_of_its_name_is_a_way_out_too(folder):
    (folder / "e\u0301.png").symlink_to(folder.parent / "private.png")
    (folder / "t.csv").write_text("image\n\xe9.png\n", encoding="utf-8")
    assert list(outside_rows(Table(folder / "t.csv"), [0], {"image": "image"}, {"image": IMAGE})) == [0]


def test_a_picture_in_the_table_is_read_from_there_whatever_it_is_called(folder):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": b"x", "path": "/etc/hostname"}, {"bytes": None, "path": "/etc/hostname"}, None]
    pq.write_table(pa.table({"image": pa.array(cells, kind)}), folder / "t.parquet")
    assert list(outside_rows(Table(folder / "t.parquet"), [0, 1, 2], {"image": "image"}, {"image": IMAGE})) == [1]


def test_the_first_is_named_with_the_ways_out(folder):
    (folder / "t.csv").write_text("image\na.png\n../private.png\nlink.png\n")
    table = Table(folder / "t.csv")
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'image': \.\./private\.png.*2 rows.*trusted=true"):
        refuse_outside(table, outside_rows(table, [0, 1, 2], {"image": "image"}, {"image": IMAGE}))
    refuse_outside(table, {})
