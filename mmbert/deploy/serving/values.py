"""What a client sends for a modality -> the raw value that its processor takes. Nothing that a client names is opened.

A string for a picture or a sound is base64 of its file's bytes, never a path or an address.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import MmbertError, nearest
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.errors import why_no_content
from mmbert.data.modalities.feature_files import ENDINGS
from mmbert.data.modalities.features import FeaturesModality
from mmbert.data.modalities.media import MediaModality
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.modalities.series import SeriesModality
from mmbert.deploy.serving.refusals import Refusal
from mmbert.model.samples import is_empty_text

NO_PATHS = "send the bytes of the file in base64, or the file itself in a form (multipart); no path or address is read"
#: White space that programs put into long base64.
BLANKS = str.maketrans("", "", " \t\r\n")


def raw_values(sample: Any, processors: Mapping[str, Processor]) -> dict[str, Any]:
    """A sample as it was sent -> raw values by encoder name, those that are present.

    Args:
        sample: what JSON holds, or strings and bytes of a form, by encoder name.
        processors: the encoders' preprocessing, by encoder name.

    Raises:
        Refusal: it has an unknown field, no modality, or a value that cannot be used.
    """
    if not isinstance(sample, Mapping):
        raise Refusal(422, f"a sample is an object of fields, not {json_type(sample)}", example_remedy(processors))
    for name in sample:
        if name not in processors:
            raise Refusal(422, "the model has no such modality", nearest(str(name), processors), field=str(name))
    present = {name: value for name, value in sample.items() if not is_absent(value)}
    if not present:
        raise Refusal(422, "the sample has no modality at all", f"give at least one of {', '.join(processors)}")
    return {name: raw_value(name, present[name], processors[name]) for name in processors if name in present}


def is_absent(value: Any) -> bool:
    """Whether a value stands for a modality that the sample lacks: null, an empty text or an empty file."""
    return value is None or is_empty_text(value) or (isinstance(value, bytes) and not value)


def raw_value(name: str, value: Any, processor: Processor) -> Any:
    """The value of one modality.

    Raises:
        Refusal: it cannot be used; names the field.
    """
    modality = modality_of(processor)
    try:
        if isinstance(modality, SeriesModality) and isinstance(value, dict):
            return modality.from_python(checked_columns(value), processor)
        if isinstance(modality, MediaModality):
            content = value if isinstance(value, bytes) else decoded_base64(value, modality.noun)
            return modality.decode(io.BytesIO(content), getattr(processor, "max_seconds", None))
        if modality.names_files:
            return feature_values(value, modality, processor)
        if modality.reads_columns:
            return modality.from_python(checked_record(value), processor)
        return modality.from_python(checked_text(value), processor)
    except Refusal as refusal:
        raise Refusal(refusal.status, refusal.error, refusal.remedy, field=name) from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever a broken file makes them meet
        why = (
            str(error)
            if isinstance(modality, FeaturesModality) or modality.reads_columns or isinstance(value, dict)
            else why_no_content(modality.noun, error)
        )
        raise Refusal(422, why, f"send another {modality.noun}, or leave the field out", field=name) from error


def decoded_base64(value: Any, noun: str) -> bytes:
    """The bytes of a string in base64, with or without ``data:…;base64,`` before it.

    Raises:
        Refusal: it is none.
    """
    if not isinstance(value, str):
        raise Refusal(422, f"a {noun} in JSON is a string in base64, not {json_type(value)}", NO_PATHS)
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text.translate(BLANKS), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(422, f"the string given for the {noun} is no base64", NO_PATHS) from None


def feature_values(value: Any, modality: Modality, processor: Processor) -> Any:
    """Of features an array or lists of numbers: a list in JSON, or a file's bytes.

    Raises:
        Refusal: it is neither.
        DataError: the file cannot be used.
    """
    if isinstance(value, list):
        return modality.from_python(value, processor)
    if not isinstance(value, bytes):
        wanted = f"features are a list of numbers, or of lists of them, not {json_type(value)}"
        raise Refusal(422, wanted, f"in a form also a file ({', '.join(ENDINGS)}) or the list as JSON")
    if value[:1] == b"[":
        return modality.from_python(numbers_of_json(value), processor)
    ending = ".npy" if value.startswith(b"\x93NUMPY") else ".npz" if value.startswith(b"PK") else ".safetensors"
    with tempfile.TemporaryDirectory(prefix="mmbert-serve-") as folder:  # its readers read files, headers first
        path = Path(folder) / f"features{ending}"
        path.write_bytes(value)
        try:
            return modality.read(str(path), "")
        except MmbertError as error:
            raise Refusal(422, str(error).replace(f"{path}: ", ""), "send another file") from error


def checked_columns(value: dict[str, Any]) -> dict[str, Any]:
    """Lists of numbers by column, null where there is none.

    Raises:
        Refusal: it holds something else.
    """
    for name, column in value.items():
        cells = column if isinstance(column, list) else [column]
        strange = next((cell for cell in cells if isinstance(cell, (list, dict, str, bool))), None)
        if not isinstance(column, list) or strange is not None:
            found = json_type(column if strange is None else strange)
            remedy = 'such as {"time": [0, 0.5], "x": [1, null]}'
            raise Refusal(422, f"column '{name}' of a series is a list of numbers, not {found}", remedy)
    return {name: np.array(column, np.float64) for name, column in value.items()}


def checked_record(value: Any) -> Any:
    """Cells by column, or a string that holds JSON of them, as forms send it.

    Raises:
        Refusal: it is neither, or a cell is a list or an object.
    """
    if not isinstance(value, (str, dict)):
        raise Refusal(422, f"a record is an object of cells by column, not {json_type(value)}", 'such as {"age": 3}')
    cells = value.values() if isinstance(value, dict) else ()
    strange = next((one for one in cells if isinstance(one, (list, dict))), None)
    if strange is not None:
        raise Refusal(422, f"a cell of a record is a number or a word, not {json_type(strange)}", 'such as {"age": 3}')
    return value


def numbers_of_json(value: bytes) -> Any:
    """A list, written as JSON.

    Raises:
        Refusal: it is none.
    """
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refusal(422, "the list of numbers is no JSON", "write it like [[0.5, 1], [2, 3]]") from None


def checked_text(value: Any) -> str | list[str] | Any:
    """A text, or two that are read together.

    Raises:
        Refusal: it is neither, or holds half a character.
    """
    parts = value if isinstance(value, list) and len(value) == 2 else [value]
    if not all(isinstance(part, str) for part in parts):
        remedy = "send the text itself" if isinstance(value, bytes) else "send a string, or two: [before, text]"
        raise Refusal(422, f"a text is a string, not {json_type(value)}", remedy)
    try:
        for part in parts:
            part.encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal(422, "the text holds half a character (a lone surrogate)", "send it in UTF-8") from None
    return value


def json_type(value: Any) -> str:
    """What JSON calls the type of a value."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", bytes: "a file"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def example_remedy(processors: Mapping[str, Processor]) -> str:
    """The shape of a sample in words."""
    fields = ", ".join(f'"{name}": …' for name in processors)
    return f"send an object such as {{{fields}}}; any of these will do"
