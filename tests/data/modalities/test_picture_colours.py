"""What counts as white, by format and not by how bright a picture happens to be; large pictures piece by piece."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities import picture_colours
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.picture_colours import (
    PIECE_PIXELS,
    by_pieces,
    from_lab,
    grey_piece,
    guessed_white,
    on_white,
    row_boxes,
    to_rgb,
    upright,
    white_level,
)


def greys(content, tmp_path, name="a.png"):
    (tmp_path / name).write_bytes(content)
    pixels = np.asarray(IMAGE.read(name, tmp_path))
    assert (pixels[..., :1] == pixels).all()
    return pixels[..., 0].ravel().tolist()


def pgm(most, values, binary):
    head = b"P%d\n%d 1\n%d\n" % (5 if binary else 2, len(values), most)
    if not binary:
        return head + b" ".join(b"%d" % value for value in values)
    return head + b"".join(value.to_bytes(1 if most < 256 else 2, "big") for value in values)


def png(bits, kind, row, *more):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    bytes_a_pixel = {0: bits / 8, 2: 3 * bits / 8}[kind]
    width = round(len(row) / bytes_a_pixel)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, kind, 0, 0, 0)), *(chunk(*part) for part in more)]
    parts += [chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("most", [1, 100, 255, 256, 1000, 4095, 65_535])
def test_a_pgm_is_scaled_by_its_own_maximum(most, binary, tmp_path):
    values = sorted({0, most // 4, most // 2, most})
    expected = [value * 255 / most for value in values]
    np.testing.assert_allclose(greys(pgm(most, values, binary), tmp_path, "a.pgm"), expected, atol=0.51)


@pytest.mark.parametrize("binary", [True, False])
def test_a_dark_pgm_of_sixteen_bits_stays_dark(binary, tmp_path):
    assert greys(pgm(65_535, [0, 100, 200, 255], binary), tmp_path, "a.pgm") == [0, 0, 1, 1]  # 255 / 257 = 0.99


def tiff(bits, width, data):
    """A TIFF file of one row of grey, little endian."""
    data += b"\0" * (len(data) % 2)
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def test_a_tiff_of_twelve_bits_is_scaled_by_twelve_bits(tmp_path):
    packed = int(f"{0:012b}{4095:012b}{2048:012b}{1024:012b}", 2).to_bytes(6, "big")
    assert greys(tiff(12, 4, packed), tmp_path, "a.tif") == [0, 255, 128, 64]  # 2048 · 255 / 4095 = 127.5


def test_a_tiff_of_sixteen_bits_is_scaled_by_sixteen(tmp_path):
    assert greys(tiff(16, 3, struct.pack("<3H", 0, 250, 65_535)), tmp_path, "a.tif") == [0, 1, 255]


def test_a_float_map_has_white_at_one(tmp_path):
    bright = b"Pf\n3 1\n-1.0\n" + struct.pack("<3f", 0.2, 1.0, 3.0)
    assert greys(bright, tmp_path, "a.pfm") == [51, 255, 255]
    assert white_level(Image.open(io.BytesIO(bright))) == 1


WHITES = [("F", [0, 1], 1), ("F", [0, 2], 255), ("I", [0, 255], 255), ("I", [256], 65_535)]


@pytest.mark.parametrize(("kind", "values", "white"), WHITES)
def test_of_other_floats_and_integers_white_is_guessed_and_told(kind, values, white, tmp_path):
    image = Image.fromarray(np.array([values], np.float32 if kind == "F" else np.int32))
    assert image.mode == kind and white_level(image) is None and guessed_white(image) == white
    image.save(tmp_path / "a.tif")
    (remark,) = IMAGE.inspect("a.tif", tmp_path, {}).remarks
    assert remark.startswith("the file does not say which of its values is white")
    with pytest.raises(DataError, match="not finite"):
        guessed_white(Image.fromarray(np.array([[np.nan, 1]], np.float32)))


def test_a_grey_that_stands_for_transparent_becomes_white_at_every_depth(tmp_path):
    assert greys(png(16, 0, struct.pack(">2H", 200, 25_700), (b"tRNS", struct.pack(">H", 200))), tmp_path) == [255, 100]
    assert greys(png(8, 0, bytes([5, 100]), (b"tRNS", struct.pack(">H", 5))), tmp_path) == [255, 100]
    assert greys(png(4, 0, bytes([0x5A]), (b"tRNS", struct.pack(">H", 5))), tmp_path) == [255, 170]  # 10 · 17
    assert greys(png(2, 0, bytes([0b00011011]), (b"tRNS", struct.pack(">H", 1))), tmp_path) == [0, 255, 170, 255]
    assert greys(png(1, 0, bytes([0b01010101]), (b"tRNS", struct.pack(">H", 0))), tmp_path) == [255] * 8


# large pictures


MODES = ["LA", "RGBA", "PA", "I;16", "I", "F", "LAB"]


@pytest.mark.parametrize("mode", MODES)
def test_piece_by_piece_is_as_all_at_once(mode, monkeypatch):
    random = np.random.default_rng(0)
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray((random.random((23, 10)) * 60_000).astype(kind))
    elif mode == "LAB":
        image = Image.merge("LAB", [Image.fromarray(random.integers(0, 256, (23, 10), np.uint8)) for _ in range(3)])
    else:
        image = Image.fromarray(random.integers(0, 256, (23, 10, 4), np.uint8)).convert(mode)
    assert image.mode == mode
    whole = np.asarray(to_rgb(image))
    monkeypatch.setattr(picture_colours, "PIECE_PIXELS", 40)
    assert len(row_boxes(image)) == 6
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), whole)


def test_pieces_are_whole_rows_and_all_of_them():
    image = Image.new("L", (PIECE_PIXELS // 2, 5))
    assert [(top, bottom) for _, top, _, bottom in row_boxes(image)] == [(0, 2), (2, 4), (4, 5)]
    assert row_boxes(Image.new("L", (2 * PIECE_PIXELS, 2)))[1] == (0, 1, 2 * PIECE_PIXELS, 2)
    assert by_pieces(Image.new("L", (4, 4), 9), lambda piece: piece.convert("RGB")).getpixel((3, 3)) == (9, 9, 9)


def test_the_parts_by_hand():
    assert grey_piece(Image.fromarray(np.array([[0, 50, 100]], np.int32)), 100).getpixel((1, 0)) == (128, 128, 128)
    assert on_white(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    white = Image.merge("LAB", [Image.new("L", (1, 1), level) for level in (255, 128, 128)])
    assert min(from_lab(white).getpixel((0, 0))) >= 253
    plain = Image.new("L", (2, 1))
    assert upright(plain) is plain
