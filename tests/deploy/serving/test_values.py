"""What clients send for each kind of input, and that nothing that they name is opened."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save as save_safetensors

from mmbert.data.modalities import picture_files
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.series_reading import SeriesReading
from mmbert.deploy.serving.limits import Limits, Places
from mmbert.deploy.serving.refusals import Refusal
from mmbert.deploy.serving.values import checked_text, raw_values
from mmbert.encoders.processors.series import SeriesProcessor

COVERS = ("values", "limits", "refusals")


class Reads:
    """As much of a processor as is asked here."""

    def __init__(self, kind, **more):
        self.kind = kind
        self.__dict__ |= more


READERS = {"text": Reads("text"), "image": Reads("image"), "audio": Reads("audio"), "pose": Reads("features")}


def png(size=(4, 3), colour=(255, 0, 0)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "value",
    [
        png(),
        base64.b64encode(png()).decode(),
        "data:image/png;base64," + base64.b64encode(png()).decode(),
        base64.encodebytes(png()).decode(),  # with line ends, as the program base64 writes it
    ],
    ids=["file", "base64", "data address", "lines"],
)
def test_a_picture_comes_as_a_file_or_in_base64(value):
    image = raw_values({"image": value}, READERS)["image"]
    assert image.size == (4, 3) and image.getpixel((0, 0)) == (255, 0, 0)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


VECTORS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "value",
    [VECTORS.tolist(), json.dumps(VECTORS.tolist()).encode(), npy(VECTORS), save_safetensors({"a": VECTORS})],
    ids=["list", "list in a form", "npy", "safetensors"],
)
def test_features_come_as_numbers_or_as_a_file(value):
    found = raw_values({"pose": value}, READERS)["pose"]
    (array,) = found.values() if isinstance(found, dict) else [found]
    assert np.asarray(array, np.float32).tolist() == VECTORS.tolist()


@pytest.mark.parametrize(
    ("sample", "field", "words"),
    [
        ({"pose": "secret.npy"}, "pose", "not a string"),
        ({"pose": {"path": "secret.npy"}}, "pose", "not an object"),
        ({"pose": npy(np.array([object()], object))}, "pose", "Python objects"),
        ({"pose": b"\x93NUMPY nothing"}, "pose", "no file of features that can be read"),
        ({"pose": b"[1, 2"}, "pose", "the list of numbers is no JSON"),
        ({"image": "secret.png"}, "image", "no base64"),
        ({"image": b"%!PS-Adobe"}, "image", "PostScript"),
        ({"image": ["secret.png"]}, "image", "not a list"),
        ({"audio": b"RIFF"}, "audio", "no sound that can be read"),
    ],
)
def test_names_of_files_and_broken_files_are_refused(sample, field, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("secret.npy", VECTORS)
    (tmp_path / "secret.png").write_bytes(png())
    with pytest.raises(Refusal, match=words) as caught:
        raw_values(sample, READERS)
    assert (caught.value.status, caught.value.field) == (422, field)
    assert caught.value.remedy and "mmbert-serve-" not in caught.value.error  # no place of ours is named


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(picture_files, "MOST_PIXELS", 100)
    with pytest.raises(Refusal, match="more than 100: scale it down"):
        raw_values({"image": png((11, 10))}, READERS)


def test_a_kind_of_ones_own_whose_cells_name_files_gets_no_string():
    class Own(Modality):
        kind = "own"

        def read(self, cell, folder, max_seconds=None):
            raise AssertionError("a file was opened")

    with pytest.raises(Refusal, match="not a string"):
        raw_values({"x": "/etc/passwd"}, {"x": Reads("own", modality=Own())})
    assert raw_values({"x": [1, 2]}, {"x": Reads("own", modality=Own())}) == {"x": [1, 2]}


def test_two_texts_are_a_pair_and_what_is_empty_is_absent():
    raws = raw_values({"text": ["Who?", "Ada."], "image": None, "audio": b""}, READERS)
    assert (raws["text"].before, raws["text"].text) == ("Who?", "Ada.") and list(raws) == ["text"]
    assert raw_values({"text": "a", "image": ""}, READERS) == {"text": "a"}


def test_places_are_bounded_in_samples_and_in_bytes():
    places = Places(Limits(max_queue=3, max_bytes=10))
    places.take(2, 100)
    with pytest.raises(Refusal) as caught:
        places.take(2, 0)
    assert caught.value.status == 503 and caught.value.headers() == {"Retry-After": "1"}
    with pytest.raises(Refusal):
        places.take(1, 61)  # sixteen bodies of ten bytes
    places.take(1, 60)
    assert (places.samples, places.bytes) == (3, 160)
    places.give_back(2, 100)
    places.give_back(1, 60)
    assert (places.samples, places.bytes) == (0, 0)


def test_a_record_is_an_object_or_a_forms_json_of_one():
    readers = {"facts": Reads("tabular", columns={"age": {}})}
    for value in ({"age": 3, "sex": None}, '{"age": 3, "sex": null}'):
        assert raw_values({"facts": value}, readers) == {"facts": {"age": 3, "sex": None}}
    for value, why in (
        (3, "is an object of cells by column, not a number"),
        ({"age": [3]}, "not a list"),
        ("3", "no rec"),
    ):
        with pytest.raises(Refusal, match=why):
            raw_values({"facts": value}, readers)


@pytest.mark.parametrize(
    ("value", "remedy"), [(5, "send a string"), (True, "send a string"), (b"png", "the text itself")]
)
def test_what_is_no_text_is_told_what_to_send(value, remedy):
    with pytest.raises(Refusal, match="a text is a string, not") as told:
        checked_text(value)
    assert remedy in told.value.remedy


def test_a_series_is_a_file_or_an_object_of_columns():
    statistics = {"ax": {"mean": 0.0, "std": 1.0}}
    readers = {"wrist": SeriesProcessor(SeriesReading(), statistics)}
    text = b"time,ax\n0,1\n0.5,\n1,3\n"
    given = ({"time": [0, 0.5, 1], "ax": [1, None, 3]}, text, base64.b64encode(text).decode())
    for value in given:
        found = raw_values({"wrist": value}, readers)["wrist"]
        np.testing.assert_array_equal(found.times, [0, 0.5, 1])
        np.testing.assert_array_equal(found.values[:, 0], [1, np.nan, 3])
    for value, why in (
        ({"time": [0, 1], "ax": 3}, "column 'ax' of a series is a list of numbers, not a number"),
        ({"time": [0, 1], "ax": [1, "two"]}, "column 'ax' of a series is a list of numbers, not a string"),
        ({"time": [0, 1]}, "no column 'ax'|no column of numbers beside"),
        ({"time": [1, 0], "ax": [1, 2]}, "its times run back"),
        ({"time": [0, 1, 2], "ax": [1, 2]}, "different lengths|same length"),
        ([1, 2], "a string in base64, not a list"),
    ):
        with pytest.raises(Refusal, match=why):
            raw_values({"wrist": value}, readers)
