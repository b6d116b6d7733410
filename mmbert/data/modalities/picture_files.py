"""Picture files: which are read and by what, within which bounds, and what to install for the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image as pil
from PIL import UnidentifiedImageError
from PIL.Image import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities import picture_extras
from mmbert.data.modalities.picture_colours import UNKNOWN_WHITE, to_rgb, white_level

#: Of PIL's formats those that are left out: PostScript is a program, which Ghostscript would run; the others have no
#: reader on this system.
LEFT_OUT = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
#: Formats whose further frames are of no interest: a photograph's previews.
WITH_PREVIEWS = frozenset({"MPO", "ICO", "ICNS"})
#: A picture of more pixels is refused before it is decoded; as one of RGB it takes 700 MB.
MOST_PIXELS = 178_956_970
#: PNG's greys of fewer than 8 bits: what PIL multiplies their values with, but not the one that is transparent.
FEW_BITS = {"L;2": 85, "L;4": 17}
FIRST_FRAME = "of its several frames or pages only the first is read"
#: Bytes that a format is recognised by.
HEAD_BYTES = 1024
#: Kinds of ISO media files (bytes 8 to 12) that are HEIC or HEIF.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

PictureSource = str | Path | BinaryIO


def decode_picture(source: PictureSource) -> Image:
    """A picture file -> an upright image in mode RGB; of an animation the first frame.

    Raises:
        DataError: it has too many pixels, is of a kind that is not read, or wants a package that is not installed.
        Exception: whatever PIL meets in a file that is damaged.
    """
    with opened_picture(source) as image:
        scale_transparency(image)
        image.load()
        return to_rgb(image)


def picture_remarks(source: PictureSource) -> tuple[str, ...]:
    """What is read otherwise than one may think, of a picture that can be read."""
    with opened_picture(source) as image:
        unknown = image.mode in ("I", "F") and white_level(image) is None
        return ((UNKNOWN_WHITE,) if unknown else ()) + ((FIRST_FRAME,) if has_more_frames(image) else ())


@contextmanager
def opened_picture(source: PictureSource) -> Iterator[Image]:
    """A picture, not decoded yet where PIL reads its format.

    Raises:
        DataError: see ``decode_picture``.
    """
    try:
        image: Image = pil.open(source, formats=formats_read())
    except UnidentifiedImageError:
        image = opened_otherwise(source)
    with image:
        refuse_too_large(*image.size)
        yield image


@cache
def formats_read() -> tuple[str, ...]:
    """PIL's names of the formats that are read."""
    pil.preinit()  # the usual ones first
    pil.init()
    return tuple(name for name in pil.ID if name not in LEFT_OUT)


def opened_otherwise(source: PictureSource) -> Image:
    """A picture in a format that PIL does not read by itself.

    Raises:
        DataError: its package is not installed, or the file cannot be used.
        UnidentifiedImageError: it is damaged, or of an unknown format.
    """
    content = head(source)
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        return picture_extras.read_heif(source, refuse_too_large)
    if is_svg(content):
        return picture_extras.read_svg(source)
    if content.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        raise DataError("PostScript is a program and is not run: convert it to PNG or SVG")
    raise UnidentifiedImageError("its format is not known, or it is damaged")


def refuse_too_large(width: int, height: int) -> None:
    """Refuses a picture for its size in pixels.

    Raises:
        DataError: it has more than ``MOST_PIXELS``.
    """
    if width * height > MOST_PIXELS:
        raise DataError(f"it has {width:,} × {height:,} pixels, more than {MOST_PIXELS:,}: scale it down")


def head(source: PictureSource) -> bytes:
    """The first bytes of a file."""
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return file.read(HEAD_BYTES)
    source.seek(0)
    content = source.read(HEAD_BYTES)
    source.seek(0)
    return content


def is_svg(content: bytes) -> bool:
    """Whether a file may be an SVG, or a compressed one."""
    return content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<!--", b"<!DOCTYPE", b"<svg", b"\x1f\x8b"))


def scale_transparency(image: Image) -> None:
    """Makes the transparent value of a PNG file of 2 or 4 bits one of 8, as PIL does with the pixels."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    raw = tiles[0].args if image.format == "PNG" and tiles else None
    if isinstance(key, int) and isinstance(raw, str) and raw in FEW_BITS:
        image.info["transparency"] = min(255, key * FEW_BITS[raw])


def has_more_frames(image: Image) -> bool:
    """Whether a second frame or page follows the first."""
    if image.format in WITH_PREVIEWS:
        return False
    if image.info.get(picture_extras.PICTURES_INSIDE, 1) > 1:
        return True
    try:
        image.seek(1)
    except Exception:  # EOFError; or what is damaged in a frame that nobody reads
        return False
    return True
