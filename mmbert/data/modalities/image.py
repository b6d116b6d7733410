"""Images: picture files become upright PIL images in mode RGB."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as pil
from PIL import ImageOps
from PIL.Image import Image

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation, degraded_image
from mmbert.data.augment.image import ImageAugmentation
from mmbert.data.modalities.base import CellFacts
from mmbert.data.modalities.media import MediaModality, data_uri
from mmbert.data.modalities.perceptual_hash import perceptual_hash
from mmbert.data.modalities.processor import Processor

EXIF_ORIENTATION = 0x0112
TRANSPARENT_MODES = ("LA", "PA", "La", "RGBA", "RGBa")
#: Longest side of an example, in pixels.
EXAMPLE_PIXELS = 192


class ImageModality(MediaModality):
    """Any format that PIL reads; of an animation, the first frame."""

    kind = "image"
    noun = "picture"
    shown_as = "image"
    logs_padding = False
    libraries = ("torch", "timm", "pillow")
    python_example = '"picture.png"'
    augmentation = ImageAugmentation

    def decode(self, source: str | Path | BinaryIO, max_seconds: float | None = None) -> Image:
        """See ``MediaModality``: -> an upright image in mode RGB."""
        with pil.open(source) as image:
            image.load()
            return to_rgb(image)

    def from_python(self, value: Any, processor: Processor) -> Image:
        """A path or a PIL image -> an upright image in mode RGB; see ``Modality``."""
        if isinstance(value, (str, Path)):
            image: Image = super().from_python(value, processor)
            return image
        try:
            return to_rgb(value)
        except DataError as error:
            raise DataError(f"The picture given cannot be used: {error}.") from error

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[Image], list[Image]]:
        """See ``Modality``: noise in several shapes; then one pixel, a line, one colour."""

        def noise(height: int, width: int, colours: int = 256) -> Image:
            return pil.fromarray(random.integers(0, colours, (height, width, 3), np.uint8))

        ordinary = [noise(40, 56), noise(3, 5), noise(90, 20), noise(64, 64)]
        return ordinary, [noise(1, 1), noise(1, 200), noise(200, 1), noise(30, 30, 1)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: width and height in pixels, and a perceptual hash."""
        image = self.read(cell, folder)
        size = {"width": image.width, "height": image.height}
        return CellFacts(digest=self.stored_digest(cell, folder), quantities=size, look=perceptual_hash(image))

    def corrupted(
        self, raw: Image, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: noise or blur, at the image's own size."""
        return processor.prepare(degraded_image(raw, level, random, options))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: the image, made smaller where it is large."""
        image = self.read(cell, folder)
        is_large = max(image.size) > EXAMPLE_PIXELS
        small = image.copy()
        small.thumbnail((EXAMPLE_PIXELS, EXAMPLE_PIXELS))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG" if is_large else "PNG")
        source = data_uri(buffer.getvalue(), "image/jpeg" if is_large else "image/png")
        return f'<img alt="{image.width}×{image.height} pixels" src="{source}">'


MODALITY = ImageModality()


def to_rgb(image: Image) -> Image:
    """Any PIL image -> RGB, turned as its EXIF orientation says; transparency becomes white, 16 bits become 8.

    Raises:
        DataError: a float picture has values that are not finite.
    """
    image = upright(image)
    if image.mode in ("RGB", "L") and "transparency" not in image.info:  # nearly all pictures
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode.startswith(("I", "F")):
        return pil.fromarray(eight_bits(np.asarray(image, np.float64), image.mode)).convert("RGB")
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = pil.new("RGBA", rgba.size, (255, 255, 255, 255))
        return pil.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "LAB":  # PIL's convert does not know it
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # only an in-place conversion gives None
        return converted
    return image.convert("RGB")


def upright(image: Image) -> Image:
    """Turned and mirrored as the EXIF orientation says; EXIF data that cannot be read says nothing."""
    try:
        if image.getexif().get(EXIF_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF raises whatever its parser met; the pixels are good
        return image


def eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """(h, w) of any range -> uint8. PIL's own conversion cuts everything above 255 off.

    16-bit integers are divided by 257, and so are 32-bit ones that exceed 255; floats in [0, 1] are stretched to 255,
    others are taken as 0 to 255.

    Raises:
        DataError: a value is not finite. The caller adds whose it is.
    """
    if not np.isfinite(values).all():
        raise DataError("it has pixels that are not finite numbers")
    if mode.startswith("I;16") or (mode.startswith("I") and values.max(initial=0) > 255):
        values = values / 257
    elif mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
