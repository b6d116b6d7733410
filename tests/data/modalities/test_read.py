"""Pictures arrive upright in RGB and sounds as one channel, whatever their files are like."""

import contextlib
import importlib
import os
import pickle
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.audio import mono
from mmbert.data.modalities.features import read_arrays
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.image import to_rgb
from mmbert.data.modalities.registry import modality_named, modality_of
from mmbert.data.tables.table import Table
from mmbert.runs.peak_memory import PeakMemory

COVERS = ("audio", "features", "image", "registry")

read_image, read_audio = IMAGE.read_file, AUDIO.read_file
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


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


# modes: what PIL calls a picture's channels -> what each pixel must be in RGB

PALETTE = [10, 20, 30, 200, 100, 50]

MODES = [
    ("1", [0, 255], [BLACK, WHITE]),
    ("L", [0, 77, 255], [BLACK, (77, 77, 77), WHITE]),
    ("LA", [(100, 255), (100, 0), (0, 51)], [(100, 100, 100), WHITE, (204, 204, 204)]),  # 255 * (1 - 51/255) = 204
    ("RGB", [(1, 2, 3)], [(1, 2, 3)]),
    ("RGBA", [(9, 8, 7, 255), (9, 8, 7, 0), (0, 255, 0, 51)], [(9, 8, 7), WHITE, (204, 255, 204)]),
    ("RGBX", [(9, 8, 7, 0)], [(9, 8, 7)]),
    ("CMYK", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)], [WHITE, (0, 255, 255), BLACK]),
    ("YCbCr", [(255, 128, 128), (0, 128, 128)], [WHITE, BLACK]),
    ("HSV", [(0, 0, 255), (0, 255, 255)], [WHITE, (255, 0, 0)]),
    ("I;16", [0, 257, 25_700, 65_535], [BLACK, (1, 1, 1), (100, 100, 100), WHITE]),
    ("I", [0, 25_700, 65_535], [BLACK, (100, 100, 100), WHITE]),
    ("I", [0, 100, 255], [BLACK, (100, 100, 100), WHITE]),
    ("F", [0.0, 0.2, 1.0], [BLACK, (51, 51, 51), WHITE]),  # 0.2 * 255 = 51
    ("F", [0.0, 51.0, 255.0, 400.0, -3.0], [BLACK, (51, 51, 51), WHITE, WHITE, BLACK]),
]


@pytest.mark.parametrize(("mode", "cells", "expected"), MODES)
def test_every_mode_becomes_rgb(mode, cells, expected):
    assert pixels(to_rgb(picture(mode, cells))) == expected


def test_lab_becomes_rgb():
    image = Image.merge("LAB", [Image.new("L", (1, 1), level) for level in (255, 128, 128)])
    assert np.abs(np.array(pixels(to_rgb(image))) - 255).max() <= 2
    grey = Image.merge("LAB", [Image.new("L", (1, 1), level) for level in (137, 128, 128)])
    # L* = 53.7 (137/255), so Y = ((53.7 + 16) / 116)^3 = 0.217, and sRGB of that is 0.503 * 255 = 128
    assert np.abs(np.array(pixels(to_rgb(grey))) - 128).max() <= 3


@pytest.mark.parametrize("transparency", [None, 1, b"\xff\x33"])
def test_palettes(transparency, tmp_path):
    image = picture("P", [0, 1])
    image.putpalette(PALETTE)
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **options)
    second = {None: (200, 100, 50), 1: WHITE, b"\xff\x33": (244, 224, 214)}[
        transparency
    ]  # 255 - 0.2 * (255 - 200) = 244
    assert pixels(read_image(tmp_path / "a.png")) == [(10, 20, 30), second]


@pytest.mark.parametrize(("mode", "cells", "key"), [("L", [7, 8], 7), ("RGB", [(7, 7, 7), (8, 8, 8)], (7, 7, 7))])
def test_a_colour_that_stands_for_transparent_becomes_white(mode, cells, key, tmp_path):
    picture(mode, cells).save(tmp_path / "a.png", transparency=key)
    assert pixels(read_image(tmp_path / "a.png")) == [WHITE, (8, 8, 8)]


def test_sixteen_bit_files_are_scaled_and_not_cut_off(tmp_path):
    Image.fromarray(np.array([[0, 25_700, 65_535]], np.uint16)).save(tmp_path / "a.png")
    assert pixels(read_image(tmp_path / "a.png")) == [BLACK, (100, 100, 100), WHITE]
    Image.fromarray(np.array([[0.0, 0.2, 1.0]], np.float32)).save(tmp_path / "a.tiff")
    assert pixels(read_image(tmp_path / "a.tiff")) == [BLACK, (51, 51, 51), WHITE]


def test_a_dark_sixteen_bit_file_stays_dark(tmp_path):
    Image.fromarray(np.array([[0, 128, 129, 250]], np.uint16)).save(tmp_path / "a.png")
    assert pixels(read_image(tmp_path / "a.png")) == [BLACK, BLACK, (1, 1, 1), (1, 1, 1)]


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert set(pixels(read_image(tmp_path / "a.gif"))) == {(255, 0, 0)}


# orientation: how the stored pixels are turned for viewing, as the EXIF standard numbers it

TURNS = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_pictures_are_turned_as_their_exif_says(orientation, mode, tmp_path):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    wide = stored.astype(np.uint16) * 257 if mode == "I;16" else stored
    image = Image.fromarray(np.stack([wide] * 3, -1) if mode == "RGB" else wide)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    shown = np.asarray(read_image(tmp_path / "a.png"))
    np.testing.assert_array_equal(shown[..., 0], TURNS[orientation](stored))


def test_a_jpeg_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (8, 16)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\x00\x00nonsense", b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01"])
def test_broken_exif_does_not_spoil_a_good_picture(exif, tmp_path):
    Image.new("RGB", (4, 2), (1, 2, 3)).save(tmp_path / "a.png", exif=exif)
    assert set(pixels(read_image(tmp_path / "a.png"))) == {(1, 2, 3)}


def test_an_orientation_that_does_not_exist_says_nothing(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    picture("L", [1, 2]).save(tmp_path / "a.png", exif=exif)
    assert pixels(read_image(tmp_path / "a.png")) == [(1, 1, 1), (2, 2, 2)]


def test_a_picture_outlives_its_file_and_travels_between_processes(tmp_path):
    picture("RGB", [(1, 2, 3)]).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert pixels(pickle.loads(pickle.dumps(image))) == [(1, 2, 3)]


# sounds


def test_stereo_becomes_the_mean_of_its_channels_at_its_own_rate(tmp_path):
    left = np.sin(np.arange(4_410) * 2 * np.pi * 440 / 44_100) * 0.5
    right = np.full(4_410, 0.25)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 44_100, subtype="PCM_24")
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (rate, samples.shape, samples.dtype) == (44_100, (4_410,), np.float32)
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_any_number_of_channels(channels, ending, tmp_path):
    levels = np.arange(channels) * 0.125
    soundfile.write(tmp_path / f"a.{ending}", np.tile(levels, (100, 1)), 16_000)
    samples, rate = read_audio(tmp_path / f"a.{ending}")
    assert rate == 16_000
    np.testing.assert_allclose(samples, np.full(100, levels.mean()), atol=1e-4)


def test_full_scale_is_one(tmp_path):
    header = b"RIFF" + struct.pack("<I", 36 + 6) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    data = struct.pack("<hhh", -32_768, 16_384, 0)
    (tmp_path / "a.wav").write_bytes(header + b"data" + struct.pack("<I", 6) + data)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (samples.tolist(), rate) == ([-1.0, 0.5, 0.0], 8_000)


@pytest.mark.parametrize(("limit", "length"), [(None, 1_000), (0.05, 400), (0.1, 800), (0.10001, 801), (1.0, 1_000)])
def test_no_more_is_read_than_asked_for(limit, length, tmp_path, monkeypatch):
    ramp = np.linspace(-0.5, 0.5, 1_000)
    soundfile.write(tmp_path / "a.wav", ramp, 8_000, subtype="FLOAT")
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda self, n, **kw: asked.append(n) or read(self, n, **kw))
    samples, _ = read_audio(tmp_path / "a.wav", limit)
    np.testing.assert_allclose(samples, ramp[:length], atol=1e-7)
    assert asked == [-1 if limit is None else int(np.ceil(limit * 8_000))]


# values instead of files


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


# refusals


def broken_png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_image, read_audio])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.bin: there is no such file"),
        (b"", r"a.bin: the file is empty \(0 bytes\)"),
        (b"plain text, and nothing else", r"a.bin: this is no (picture|sound) that can be read \("),
        ("folder", "a.bin: this is a folder, not a file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(read, content, message, tmp_path):
    path = tmp_path / "a.bin"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message + r".*Replace the file, or leave its cell empty"):
        read(path)


def test_a_picture_that_breaks_off(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:5_000])
    with pytest.raises(DataError, match="a.png: this is no picture that can be read .*truncated"):
        read_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(broken_png())
    with pytest.raises(DataError, match="b.png: this is no picture that can be read"):
        read_image(tmp_path / "b.png")


def test_a_picture_too_large_for_memory_is_refused_before_it_is_decoded(tmp_path):
    squeeze = zlib.compressobj(1)
    packed = b"".join(squeeze.compress(bytes(2_501)) for _ in range(20_000)) + squeeze.flush()  # a bit a pixel
    parts = (b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with PeakMemory() as memory, pytest.raises(DataError) as caught:
        before = memory.peak_mib()
        read_image(tmp_path / "huge.png")
    assert f"{caught.value}" == (
        f"{tmp_path}/huge.png: the picture has more than 178,956,970 pixels, which take half a gigabyte of memory and "
        "more: scale it down. Replace the file, or leave its cell empty: a missing modality is "
        "ordinary."
    )
    assert memory.peak_mib() - before < 40  # its bits alone would be 50


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16", "CMYK"])
def test_a_picture_of_one_pixel_is_a_picture(mode, tmp_path):
    ending = "tiff" if mode == "CMYK" else "png"
    Image.new(mode, (1, 1)).save(tmp_path / f"a.{ending}")
    assert read_image(tmp_path / f"a.{ending}").size == (1, 1)


@pytest.fixture
def stranger(tmp_path_factory):
    """A folder, and a context in which this process has the rights of nobody: root may read everything."""
    if os.geteuid() != 0:
        yield tmp_path_factory.mktemp("mine"), contextlib.nullcontext
        return

    @contextlib.contextmanager
    def nobody():
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)

    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        yield Path(folder), nobody


@pytest.mark.parametrize("closed", ["file", "folder"])
@pytest.mark.parametrize("read", [read_image, read_audio, read_arrays, Table])
def test_what_this_user_may_not_read_is_told_as_that(read, closed, stranger):
    folder, nobody = stranger
    inside = folder / "inside"
    inside.mkdir()
    names = {read_image: "a.png", read_audio: "a.wav", read_arrays: "a.npy", Table: "a.csv"}
    path = inside / names[read]
    path.write_bytes(b"content")
    importlib.import_module("mmbert.data.tables.arrow_cache")  # libraries may be closed to strangers too
    (path if closed == "file" else inside).chmod(0)
    try:
        with nobody(), pytest.raises(DataError, match=rf"{path}: this user may not read it \(permission denied\)"):
            read(path)
    finally:
        inside.chmod(0o700)


@pytest.mark.parametrize("read", [read_image, read_audio])
def test_a_refusal_by_the_system_is_told_whatever_the_file_s_mode_says(read, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    (tmp_path / "a.bin").write_bytes(b"content")
    with pytest.raises(DataError, match="a.bin: this user may not read it"):
        read(tmp_path / "a.bin")


def test_numbers_that_are_none(tmp_path):
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(
        DataError, match="a.tiff: the picture cannot be used: it has pixels that are not finite.*Replace"
    ):
        read_image(tmp_path / "a.tiff")
    soundfile.write(tmp_path / "a.wav", np.array([[0.0, np.inf], [np.nan, 0.0]]), 8_000, subtype="FLOAT")
    with pytest.raises(DataError, match="a.wav: the sound cannot be used: it has samples that are not finite.*Replace"):
        read_audio(tmp_path / "a.wav")


def test_very_loud_is_not_infinite():
    loud = np.full(4, 3e38, np.float32)  # its squares are beyond float32
    assert mono(loud).tolist() == loud.tolist()


def test_running_out_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    picture("L", [5]).save(tmp_path / "a.png")
    monkeypatch.setattr("mmbert.data.modalities.image.to_rgb", lambda image: bytearray(2**62))
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


def test_a_sound_of_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 8_000)
    with pytest.raises(DataError, match="a.wav: the sound cannot be used: it has no samples.*leave its cell empty"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="length is zero"):
        mono(np.zeros(0))
