"""Features: vectors that were extracted elsewhere, in .npy, .npz and .safetensors files or in lists in a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError, nearest
from mmbert.core.file_names import named_file
from mmbert.data.modalities import feature_files
from mmbert.data.modalities.base import CellFacts, Modality, bytes_and_name, content_digest
from mmbert.data.modalities.feature_files import read_arrays
from mmbert.data.modalities.processor import Processor
from mmbert.data.tables.cells import cell_excerpt

#: Beyond it float32 has no longer every whole number.
WHOLE_IN_FLOAT32 = 2**24
LOST_DIGITS = (
    "it has numbers of more than 7 digits, such as times since 1970, that lose the last ones in float32: subtract a "
    "constant first"
)


class FeaturesModality(Modality):
    """A sequence of vectors, or one vector; a cell names the file of it, or holds its numbers as a list."""

    kind = "features"
    noun = "file of features"
    python_example = '"features.npy"'
    code = (feature_files.__name__,)

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> Any:
        """See ``Modality``: arrays by name from a file, or from its bytes and name; or the cell as it is."""
        content, name = bytes_and_name(cell)
        if content is not None and name is not None:
            return read_arrays(name, content)
        if isinstance(cell, (bytes, dict)):
            raise DataError(f"its cell holds {cell_excerpt(cell)}, where a file name or a list of numbers is needed")
        return read_arrays(named_file(folder, cell)) if isinstance(cell, str) else cell

    def content(self, cell: Any, folder: str | Path) -> bytes | str | None:
        """See ``Modality``; of lists of numbers it is unknown."""
        content, name = bytes_and_name(cell)
        return content if content is not None or name is None else named_file(folder, name)

    def vector_width(self, cell: Any, folder: str | Path, options: Mapping[str, Any]) -> int:
        """See ``Modality``."""
        return int(as_sequence(self.read(cell, folder), options.get("key")).shape[1])

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """See ``Modality``: normal vectors; then zeros, and a very long sequence."""
        width = int(getattr(processor, "width", 1))
        ordinary = [random.standard_normal((length, width), np.float32) for length in (4, 1, 7, 3)]
        return ordinary, [np.zeros((2, width), np.float32), random.standard_normal((3000, width), np.float32)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: the length L, and the width D."""
        value = self.read(cell, folder)
        sequence = as_sequence(value, options.get("key"))
        length, width = sequence.shape
        lossy = loses_digits(selected_array(value, options.get("key")) if isinstance(value, dict) else value)
        remarks = (LOST_DIGITS,) if lossy else ()
        digest = content_digest(sequence.tobytes())
        return CellFacts(digest=digest, quantities={"length": length}, width=width, remarks=remarks)


MODALITY = FeaturesModality()


def selected_array(arrays: dict[str, np.ndarray], key: str | None) -> np.ndarray:
    """The array called ``key``, or the only one.

    Raises:
        DataError: there is none of this name, or no name was given and there are several.
    """
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    if key is None or key not in arrays:
        hint = nearest(key or "", arrays)
        raise DataError(f"its arrays are several or have other names; say which with the encoder's option key. {hint}")
    return arrays[key]


def as_sequence(value: Any, key: str | None = None) -> np.ndarray:
    """Arrays by name, an array or a list -> (L, D) float32; (D,) is a sequence of one.

    Raises:
        DataError: the shape or a value cannot be used. The caller adds whose they are.
    """
    array = selected_array(value, key) if isinstance(value, dict) else value
    try:
        given = np.asarray(array)
        refuse_other_values(given)
        with np.errstate(over="ignore"):
            sequence = np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"it is no array of numbers ({error})") from error
    if sequence.ndim == 1:
        sequence = sequence[None]
    if sequence.ndim != 2:
        raise DataError(f"its shape is {sequence.shape} where (L, D) or (D,) is needed")
    if not sequence.size:
        raise DataError(f"it is empty, its shape is {sequence.shape}")
    if not np.isfinite(sequence).all():
        row = int(np.argwhere(~np.isfinite(sequence))[0, 0])
        if np.isfinite(given.astype(np.float64, copy=False)).all():
            raise DataError(f"it has numbers beyond 3.4e38, the most of float32, the first in its row {row + 1}")
        raise DataError(f"it has values that are not finite numbers, the first in its row {row + 1}")
    return sequence


def refuse_other_values(array: np.ndarray) -> None:
    """Refuses what NumPy would turn into numbers by leaving a part out, or by counting days.

    Raises:
        DataError: the array holds complex numbers, dates or records.
    """
    if array.dtype.kind == "c":
        raise DataError("its numbers are complex: store real and imaginary parts, or size and phase, side by side")
    if array.dtype.kind in "mMV":
        raise DataError(f"its values are of the type {array.dtype}, not numbers")


def loses_digits(value: Any) -> bool:
    """Whether numbers (an array, or lists) that are large and whole in float64 are others in float32."""
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or numbers.dtype.itemsize < 4 or numbers.dtype == np.float32:
        return False
    large = numbers[np.abs(numbers.astype(np.float64, copy=False)) > WHOLE_IN_FLOAT32]
    return bool((large.astype(np.float32).astype(np.float64) != large).any())
