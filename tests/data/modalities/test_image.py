"""Pictures arrive upright in RGB, whatever their files are like."""

import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.picture_colours import to_rgb
from mmbert.runs.peak_memory import PeakMemory

read_image = IMAGE.read_file
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


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


def broken_png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b"")


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


def test_running_out_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    picture("L", [5]).save(tmp_path / "a.png")
    monkeypatch.setattr("mmbert.data.modalities.picture_files.to_rgb", lambda image: bytearray(2**62))
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("value", [np.zeros((4, 4, 3), np.uint8), 7, None, b"png"])
def test_what_is_no_picture_is_told(value):
    with pytest.raises(DataError, match=f"must be a path or a PIL image, not {type(value).__name__}"):
        IMAGE.from_python(value, None)
    assert IMAGE.from_python(Image.new("L", (2, 3), 9), None).getpixel((1, 2)) == (9, 9, 9)
