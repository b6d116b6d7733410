"""Any picture of PIL becomes upright and RGB: what counts as white, transparency, large pictures piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image as pil
from PIL import ImageOps
from PIL.Image import Image

from mmbert.core.errors import DataError

EXIF_ORIENTATION = 0x0112
TRANSPARENT_MODES = ("LA", "PA", "La", "RGBA", "RGBa")
#: TIFF's tag for the bits of a sample.
BITS_PER_SAMPLE = 258
#: Pixels that are converted at a time, so that a large picture is never there in float64.
PIECE_PIXELS = 2**22
#: Of floats and of integers of 32 bits no file says what is white.
UNKNOWN_WHITE = (
    "the file does not say which of its values is white: of floats 1 is taken where none exceeds it, else 255; of "
    "integers 255 where none exceeds it, else 65,535"
)


def to_rgb(image: Image) -> Image:
    """Any PIL image -> RGB, turned as its EXIF orientation says; transparency becomes white, more bits become 8.

    Raises:
        DataError: a float picture has values that are not finite.
    """
    white = white_level(image)
    image = upright(image)
    if image.mode.startswith(("I", "F")):
        white = guessed_white(image) if white is None else white
        return by_pieces(image, partial(grey_piece, white=white))
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        return by_pieces(image, on_white)
    if image.mode == "LAB":  # PIL's convert does not know it
        return by_pieces(image, from_lab)
    return image if image.mode == "RGB" else image.convert("RGB")


def upright(image: Image) -> Image:
    """Turned and mirrored as the EXIF orientation says; EXIF data that cannot be read says nothing."""
    try:
        if image.getexif().get(EXIF_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF raises whatever its parser met; the pixels are good
        return image


def white_level(image: Image) -> float | None:
    """The value of white in a picture of one channel with more than 8 bits; None = its file does not say.

    PIL scales PGM files of more than 8 bits to 65,535, whatever their own maximum; TIFF keeps numbers of 12 bits as
    they are. A picture that is dark all over is no reason to take its values for others.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
        return float(2 ** min(16, int(bits[0])) - 1)
    if image.mode == "I" and image.format in ("PPM", "PNG"):
        return 65535.0
    return 1.0 if image.mode == "F" and image.format == "PPM" else None


def guessed_white(image: Image) -> float:
    """White of a picture (mode I or F) whose file does not say: 65,535 for integers above 255; 1 for floats up to 1.

    Raises:
        DataError: a value is not finite. The caller adds whose it is.
    """
    most = 0.0
    for piece in row_boxes(image):
        values = np.asarray(image.crop(piece))
        if not np.isfinite(values).all():
            raise DataError("it has pixels that are not finite numbers")
        most = max(most, float(values.max(initial=0)))
    if image.mode == "F":
        return 1.0 if most <= 1 else 255.0
    return 65535.0 if most > 255 else 255.0


def grey_piece(image: Image, white: float) -> Image:
    """One channel of more than 8 bits -> RGB; PIL's own conversion cuts everything above 255 off."""
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError("it has pixels that are not finite numbers")
    eight = np.clip(np.round(values * 255 / white), 0, 255).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        eight[values == key] = 255
    return pil.fromarray(eight).convert("RGB")


def on_white(image: Image) -> Image:
    """A picture with transparent parts -> RGB, as it looks on white."""
    rgba = image.convert("RGBA")
    white = pil.new("RGBA", rgba.size, (255, 255, 255, 255))
    return pil.alpha_composite(white, rgba).convert("RGB")


def from_lab(image: Image) -> Image:
    """CIE Lab -> RGB."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # only an in-place conversion gives None
    return converted


def row_boxes(image: Image) -> list[tuple[int, int, int, int]]:
    """Boxes (left, upper, right, lower) of whole rows that make up a picture."""
    rows = max(1, PIECE_PIXELS // max(1, image.width))
    return [(0, top, image.width, min(image.height, top + rows)) for top in range(0, image.height, rows)]


def by_pieces(image: Image, convert: Callable[[Image], Image]) -> Image:
    """A picture converted to RGB piece by piece."""
    boxes = row_boxes(image)
    if len(boxes) == 1:
        return convert(image)
    whole = pil.new("RGB", image.size)
    for box in boxes:
        whole.paste(convert(image.crop(box)), box[:2])
    return whole
