"""Which picture files are read, by what, and within which bounds."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities import picture_files
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.picture_files import (
    FIRST_FRAME,
    LEFT_OUT,
    MOST_PIXELS,
    decode_picture,
    formats_read,
    has_more_frames,
    head,
    is_svg,
    opened_picture,
    picture_remarks,
    refuse_too_large,
)

RANDOM = np.random.default_rng(0)


def saved(kind, image=None, **options):
    content = io.BytesIO()
    (image or Image.new("RGB", (6, 4), (200, 100, 50))).save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO"])
def test_formats_that_pil_reads_by_itself(kind):
    picture = Image.new("RGB", (32, 16), (200, 100, 50))
    image = decode_picture(io.BytesIO(saved(kind, picture)))
    assert image.mode == "RGB" and np.abs(np.array(image.getpixel((3, 3))) - (200, 100, 50)).max() <= 6
    assert picture_remarks(io.BytesIO(saved(kind, picture))) == ()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "QOI"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_picture_that_breaks_off_is_an_error(kind, share, tmp_path):
    content = saved(kind, Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), np.uint8)))
    (tmp_path / "a").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="a: this is no picture that can be read"):
        IMAGE.read("a", tmp_path)


def test_postscript_is_a_program_and_is_not_run(tmp_path):
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\nshowpage\n")
    with pytest.raises(DataError, match="a.eps: the picture cannot be used: PostScript is a program and is not run"):
        IMAGE.read("a.eps", tmp_path)
    assert not LEFT_OUT & set(formats_read()) and {"PNG", "AVIF", "TIFF"} <= set(formats_read())


# bounds


def bmp(width, height):
    """A BMP file that promises so many pixels and holds none."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # another library may have switched PIL's own bound off
    (tmp_path / "a.bmp").write_bytes(bmp(20_000, 10_000))
    with pytest.raises(DataError, match=r"a.bmp: .* has 20,000 × 10,000 pixels, more than 178,956,970: scale it down"):
        IMAGE.read("a.bmp", tmp_path)
    refuse_too_large(1, MOST_PIXELS)


def test_the_bound_itself_is_allowed(monkeypatch):
    monkeypatch.setattr(picture_files, "MOST_PIXELS", 24)
    with opened_picture(io.BytesIO(saved("PNG"))) as image:
        assert image.size == (6, 4)
    monkeypatch.setattr(picture_files, "MOST_PIXELS", 23)
    with pytest.raises(DataError, match="6 × 4 pixels"), opened_picture(io.BytesIO(saved("PNG"))):
        pass


# frames


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG", "AVIF"])
def test_of_several_frames_the_first_is_read_and_that_is_told(kind, tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    (tmp_path / "a").write_bytes(saved(kind, frames[0], save_all=True, append_images=frames[1:]))
    assert np.abs(np.array(IMAGE.read("a", tmp_path).getpixel((5, 5))) - (255, 0, 0)).max() <= 8
    assert IMAGE.inspect("a", tmp_path, {}).remarks == (FIRST_FRAME,)
    with opened_picture(io.BytesIO(saved(kind, frames[0]))) as single:
        assert not has_more_frames(single)


def test_a_photographs_preview_is_no_second_frame():
    frames = [Image.new("RGB", (16, 16)), Image.new("RGB", (8, 8))]
    content = saved("MPO", frames[0], save_all=True, append_images=frames[1:])
    assert picture_remarks(io.BytesIO(content)) == ()


def test_the_beginning_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    stream = io.BytesIO(b"abc")
    stream.seek(2)
    assert head(tmp_path / "a") == head(str(tmp_path / "a")) == head(stream) == b"abc" and stream.tell() == 0
    assert all(map(is_svg, (b"<svg x", b"\xef\xbb\xbf<?xml", b"\n<!-- a --><svg", b"\x1f\x8b\x08")))
    assert not any(map(is_svg, (b"", b"svg", b"{<svg")))
