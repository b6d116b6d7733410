"""Picture formats by packages of their own: HEIC by pillow-heif, SVG by CairoSVG."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from PIL import Image as pil
from PIL.Image import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.svg_process import draw_svg

#: Bytes of an SVG file, uncompressed.
SVG_BYTES = 2**24
#: Where ``Image.info`` has the number of pictures in a HEIF file.
PICTURES_INSIDE = "pictures_inside"


def read_heif(source: str | Path | BinaryIO, check_size: Callable[[int, int], None]) -> Image:
    """A HEIC or HEIF file.

    Args:
        source: of it.
        check_size: is given width and height before anything is decoded.

    Raises:
        DataError: pillow-heif is not installed, or the picture is too large.
    """
    if find_spec("pillow_heif") is None:
        raise DataError("HEIC pictures are read by pillow-heif, which is not installed: pip install 'mmbert[heif]'")
    import pillow_heif

    opened = pillow_heif.open_heif(source)
    check_size(*opened.size)
    image: Image = opened.to_pillow()
    image.info[PICTURES_INSIDE] = len(opened)
    return image


def read_svg(source: str | Path | BinaryIO) -> Image:
    """A drawing, transparent where nothing is drawn.

    Raises:
        DataError: CairoSVG is not installed, or the drawing is too large, too deep, or refers to other files.
    """
    content = svg_content(source)
    if find_spec("cairosvg") is None:
        raise DataError("SVG is drawn by CairoSVG, which is not installed: pip install 'mmbert[svg]'")
    return pil.open(io.BytesIO(draw_svg(content)), formats=("PNG",))


def svg_content(source: str | Path | BinaryIO) -> bytes:
    """The text of an SVG file, unpacked.

    Raises:
        DataError: it is too long.
        UnidentifiedImageError: it is no SVG.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            content = file.read(SVG_BYTES + 1)
    else:
        content = source.read(SVG_BYTES + 1)
    if content[:2] == b"\x1f\x8b":
        with gzip.open(io.BytesIO(content)) as unpacked:
            content = unpacked.read(SVG_BYTES + 1)
    if len(content) > SVG_BYTES:
        raise DataError(f"as an SVG it has more than {SVG_BYTES // 2**20} MiB")
    if b"<svg" not in content:
        raise pil.UnidentifiedImageError("its format is not known, or it is damaged")
    return content
