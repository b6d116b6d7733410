"""Small pictures for tables of samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Longest side in pixels.
PICTURE_PIXELS = 256


def thumbnail(source: Any) -> Any:
    """A picture's file, or a PIL image -> a small RGB PIL image, upright, as an encoder reads it."""
    from mmbert.data.modalities.image import MODALITY as PICTURES
    from mmbert.data.modalities.picture_colours import to_rgb

    image = PICTURES.read_file(source) if isinstance(source, (str, Path)) else to_rgb(source).copy()
    image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    return image
