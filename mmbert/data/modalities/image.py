"""Images: picture files become upright PIL images in mode RGB."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as pil
from PIL.Image import Image

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation, degraded_image
from mmbert.data.augment.image import ImageAugmentation
from mmbert.data.modalities import picture_colours, picture_extras, picture_files, svg_drawer
from mmbert.data.modalities.base import WHOLE_INPUT, CellFacts, TimeSpan
from mmbert.data.modalities.media import MediaModality, data_uri
from mmbert.data.modalities.perceptual_hash import perceptual_hash
from mmbert.data.modalities.picture_colours import to_rgb
from mmbert.data.modalities.picture_files import decode_picture, picture_remarks
from mmbert.data.modalities.processor import Processor

#: Longest side of an example, in pixels.
EXAMPLE_PIXELS = 192


class ImageModality(MediaModality):
    """Any format that PIL reads, HEIC and SVG with their packages; of an animation, the first frame."""

    kind = "image"
    noun = "picture"
    shown_as = "image"
    logs_padding = False
    code = (picture_files.__name__, picture_colours.__name__, picture_extras.__name__, svg_drawer.__name__)
    libraries = ("torch", "timm", "pillow")
    python_example = '"picture.png"'
    augmentation = ImageAugmentation

    def decode(
        self, source: str | Path | BinaryIO, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT
    ) -> Image:
        """See ``MediaModality``: -> an upright image in mode RGB."""
        return decode_picture(source)

    def from_python(self, value: Any, processor: Processor) -> Image:
        """A path or a PIL image -> an upright image in mode RGB; see ``Modality``."""
        if isinstance(value, (str, Path)):
            image: Image = super().from_python(value, processor)
            return image
        if not isinstance(value, Image):
            raise DataError(f"A picture must be a path or a PIL image, not {type(value).__name__}.")
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
        look, remarks = perceptual_hash(image), self.using(cell, folder, picture_remarks)
        return CellFacts(digest=self.stored_digest(cell, folder), quantities=size, look=look, remarks=remarks)

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
