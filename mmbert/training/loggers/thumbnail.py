"""Small pictures for tables of samples."""

from __future__ import annotations

from typing import Any

#: Longest side in pixels.
PICTURE_PIXELS = 256


def thumbnail(source: Any) -> Any:
    """A picture's file, or a PIL image -> a small RGB PIL image, upright."""
    from PIL import Image, ImageOps

    image = source if isinstance(source, Image.Image) else Image.open(source)
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    return image
