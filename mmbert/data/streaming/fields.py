"""What the members of foreign shards are: by the ending of a field, a cell of the table or content to be read later."""

from __future__ import annotations

import json
from typing import Any

from mmbert.core.errors import DataError

PICTURE_FIELDS = (
    *("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "ppm", "pgm", "pbm", "jp2"),
    *("heic", "heif", "svg"),
)
SOUND_FIELDS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "aif", "au", "m4a", "aac", "wma")
CLIP_FIELDS = ("mp4", "mkv", "webm", "mov", "avi")
FEATURE_FIELDS = ("npy", "npz", "safetensors")
TEXT_FIELDS = ("txt", "text")
NUMBER_FIELDS = ("cls", "cls2", "index", "inx", "id", "count")
#: The column of a field that is nothing but an ending.
COLUMN_OF_ENDING = {
    **dict.fromkeys(PICTURE_FIELDS, "image"),
    **dict.fromkeys(SOUND_FIELDS, "audio"),
    **dict.fromkeys(CLIP_FIELDS, "video"),
    **dict.fromkeys(FEATURE_FIELDS, "features"),
    **dict.fromkeys(TEXT_FIELDS, "text"),
    "cls": "label",
}
#: Endings of fields that are cells.
CELL_FIELDS = {*TEXT_FIELDS, *NUMBER_FIELDS, "json"}


def field_ending(field: str) -> str:
    """``left.PNG`` -> ``png``."""
    return field.rpartition(".")[2].lower()


def field_column(field: str) -> str:
    """The column of a field: ``left.png`` -> ``left``, ``png`` -> ``image``, ``foo`` -> ``foo``."""
    stem = field.rpartition(".")[0]
    return stem or COLUMN_OF_ENDING.get(field.lower(), field)


def field_cell(field: str, content: bytes) -> Any:
    """A text, a number, or what JSON holds.

    Raises:
        DataError: the content is none of them.
    """
    try:
        text = content.decode("utf-8-sig")
        if field_ending(field) == "json":
            return json.loads(text)
        return int(text) if field_ending(field) in NUMBER_FIELDS and text.strip().lstrip("-").isdecimal() else text
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"its member '{field}' cannot be read ({error})") from error
