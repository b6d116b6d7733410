"""about.json and uses.jsonl: what is damaged is told, and takes nothing else with it."""

import json

import numpy as np
import pytest

from mmbert.core.errors import ConfigError
from mmbert.store.array_store import ArrayStore, SegmentWriter
from mmbert.store.description import (
    ABOUT,
    USES,
    about_fault,
    describe_encoder,
    open_array_store,
    read_about,
    read_uses,
    record_use,
    write_about,
)

IDENTITY = {"encoder": "my.Net", "options": {"name": "x"}, "dtype": "float32"}
LAYOUT = ("float32", "float32", 2)


@pytest.fixture
def folder(tmp_path):
    write_about(tmp_path, "tokens", IDENTITY, LAYOUT)
    with SegmentWriter(ArrayStore(tmp_path, *LAYOUT)) as writer:
        keys = np.array([[1, 1], [2, 2]], np.uint64)
        writer.put(keys, [np.ones(5, np.float32)] * 2, [np.ones(2, np.float32)] * 2)
    return tmp_path


def change(folder, **parts):
    about = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(about | parts))


def test_what_was_written_is_read(folder):
    assert read_about(folder)["layout"] == list(LAYOUT) and len(open_array_store(folder)) == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"layout": ["float64", "float32", 2]}, "its checksum differs"),
        ({"layout": ["object", "float32", 2]}, "'layout' is not two types of numbers and a length"),
        ({"layout": ["float32", "float32", -1]}, "the length in 'layout' is none"),
        ({"layout": None}, "'layout' is not two types of numbers"),
        ({"what": "x"}, "'what' is neither tokens nor inputs"),
        ({"identity": []}, "'identity' is no group of options"),
        ({"identity": {}}, "its checksum differs"),
    ],
)
def test_a_damaged_description_is_refused_and_written_anew_by_the_next_run(folder, parts, message):
    whole = (folder / ABOUT).read_text()
    change(folder, **parts)
    with pytest.raises(ConfigError, match=rf"{folder / ABOUT} is damaged: {message}"):
        open_array_store(folder)
    write_about(folder, "tokens", IDENTITY, LAYOUT)
    mended = json.loads((folder / ABOUT).read_text())
    assert {**mended, "began": 0, "sum": 0} == {**json.loads(whole), "began": 0, "sum": 0}
    assert len(open_array_store(folder)) == 2


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"[" * 10_000])
def test_what_is_no_description_is_named(folder, content):
    (folder / ABOUT).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{folder / ABOUT} (cannot be read|is damaged)"):
        read_about(folder)


def test_a_layout_that_does_not_fit_the_arrays_is_told_without_a_checksum_too(folder):
    change(folder, layout=["float32", "float32", 4], sum=None)
    with pytest.raises(ConfigError, match="the layout does not fit the arrays"):
        open_array_store(folder)
    assert (
        about_fault({"what": "inputs", "identity": {}, "layout": ["int32", "int8", 0]}) is None
    )  # of earlier versions


def test_uses_with_a_damaged_line(folder):
    record_use(folder, {"data": "a.csv", "reused": 3})
    with (folder / USES).open("ab") as file:
        file.write(b'{"when": "2026')  # a kill
    record_use(folder, {"data": "b.csv", "reused": 4})
    with (folder / USES).open("ab") as file:
        file.write(b'\xff\n[]\n{"when": "2026-01-01", "data": "c", "reused": 1}\n')
    uses, damaged = read_uses(folder)
    assert [(use.data, use.reused) for use in uses] == [("a.csv", 3), ("b.csv", 4)] and damaged == [2, 4, 5, 6]


def test_an_encoder_is_described_as_far_as_it_can_be_read():
    assert describe_encoder(IDENTITY) == "Net, x, float32"
    assert describe_encoder({"kind": "text", "processor": "a.B"}) == "text inputs of B"
    assert describe_encoder({"encoder": 3, "options": 4}) == "3"
