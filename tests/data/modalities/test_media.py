"""Files, bytes in a table and values in Python give the same pictures and sounds."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.media import data_uri
from mmbert.data.modalities.registry import modality_named, modality_of

WHITE = (255, 255, 255)


class Pictures:
    kind = "image"


class Sounds:
    kind = "audio"
    sample_rate_hz = 8_000
    max_seconds = 0.5


def as_raw(value, processor):
    return modality_of(processor).from_python(value, processor)


def pixels(image):
    assert image.mode == "RGB"
    return [tuple(int(v) for v in pixel) for pixel in np.asarray(image).reshape(-1, 3)]


def picture(mode, cells, **info):
    """One row of pixels."""
    image = Image.new(mode, (len(cells), 1))
    for x, cell in enumerate(cells):
        image.putpixel((x, 0), cell)
    image.info.update(info)
    return image


def test_python_values_are_taken_as_files_are(tmp_path):
    assert pixels(as_raw(picture("RGBA", [(9, 8, 7, 0)]), Pictures())) == [WHITE]
    samples, rate = as_raw((np.array([[0.0, 1.0], [0.5, 0.5]]), 44_100), Sounds())
    assert (samples.tolist(), rate, samples.dtype) == ([0.5, 0.5], 44_100, np.float32)
    assert as_raw([0.0, 0.25], Sounds())[1] == 8_000
    soundfile.write(tmp_path / "a.wav", np.zeros(8_000), 8_000)
    assert len(as_raw(str(tmp_path / "a.wav"), Sounds())[0]) == 4_000  # max_seconds
    picture("L", [5]).save(tmp_path / "a.png")
    assert pixels(as_raw(tmp_path / "a.png", Pictures())) == [(5, 5, 5)]


def test_a_cell_is_a_text_or_names_a_file_beside_the_table(tmp_path):
    (tmp_path / "sub").mkdir()
    picture("L", [5]).save(tmp_path / "sub" / "a.png")
    assert pixels(modality_named("image").read("sub/a.png", tmp_path)) == [(5, 5, 5)]
    assert pixels(modality_named("image").read(str(tmp_path / "sub" / "a.png"), tmp_path / "elsewhere")) == [(5, 5, 5)]
    assert modality_named("text").read(7, tmp_path) == "7"
    assert modality_named("features").read([1.0], tmp_path) == [1.0]
    with pytest.raises(DataError, match="neither bytes nor a path"):
        modality_named("image").read({"bytes": None}, tmp_path)


@pytest.mark.parametrize(
    ("value", "processor", "message"),
    [
        (
            Image.fromarray(np.array([[np.nan]], np.float32)),
            Pictures(),
            "The picture given cannot be used: .*not finite",
        ),
        ([], Sounds(), "The sound given cannot be used: it has no samples"),
        ([np.inf], Sounds(), "The sound given cannot be used: it has samples that are not finite numbers"),
        (np.zeros((1, 2, 3)), Sounds(), r"its shape is \(1, 2, 3\) where \(T,\) or \(T, channels\) is needed"),
    ],
)
def test_values_that_cannot_be_used(value, processor, message):
    with pytest.raises(DataError, match=message):
        as_raw(value, processor)


def test_bytes_in_a_cell_are_decoded_and_named_in_messages(tmp_path):
    buffer = io.BytesIO()
    picture("L", [5]).save(buffer, "PNG")
    content = buffer.getvalue()
    assert pixels(IMAGE.read({"bytes": content, "path": "a.png"}, tmp_path)) == [(5, 5, 5)]
    with pytest.raises(DataError, match=r"the picture in the table \('a.png'\): this is no picture.*leave its cell"):
        IMAGE.read({"bytes": content[:20], "path": "a.png"}, tmp_path)
    with pytest.raises(DataError, match="a file name is needed, not 3"):
        IMAGE.read(3, tmp_path)
    (tmp_path / "a.png").write_bytes(content)
    assert IMAGE.stored_digest("a.png", tmp_path) == IMAGE.stored_digest({"bytes": content}, tmp_path)
    assert (IMAGE.file_name({"bytes": content}), IMAGE.file_name("a.png"), IMAGE.file_name(3)) == (None, "a.png", "3")


def test_a_data_uri_holds_its_bytes():
    assert data_uri(b"abc", "image/png") == "data:image/png;base64,YWJj"
