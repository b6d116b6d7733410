"""Features: vectors that were extracted elsewhere, in .npy, .npz and .safetensors files or in lists in a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError, nearest
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.base import CellFacts, Modality, content_digest
from mmbert.data.modalities.errors import REMEDY, unusable_file
from mmbert.data.modalities.processor import Processor

ENDINGS = (".npy", ".npz", ".safetensors")


class FeaturesModality(Modality):
    """A sequence of vectors, or one vector; a cell names the file of it, or holds its numbers as a list."""

    kind = "features"
    noun = "file of features"
    python_example = '"features.npy"'

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> Any:
        """See ``Modality``: arrays by name from a file, or the cell as it is."""
        return read_arrays(os.path.join(folder, cell)) if isinstance(cell, str) else cell

    def content(self, cell: Any, folder: str | Path) -> bytes | str | None:
        """See ``Modality``; of lists of numbers it is unknown."""
        return os.path.join(folder, cell) if isinstance(cell, str) else None

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
        sequence = as_sequence(self.read(cell, folder), options.get("key"))
        length, width = sequence.shape
        return CellFacts(digest=content_digest(sequence.tobytes()), quantities={"length": length}, width=width)


MODALITY = FeaturesModality()


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; of a .npy file the one, called ``""``. Nothing in a file is ever run.

    Raises:
        DataError: the file does not exist, has another ending, or holds no arrays.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"{path}: features lie in files that end in {', '.join(ENDINGS)}. {REMEDY}")
    try:
        refuse_special(path)
        if ending == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        from safetensors.torch import load_file  # torch's, because NumPy has no bfloat16

        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except Exception as error:  # readers raise whatever a broken file makes them meet
        raise unusable_file(path, "file of features", error) from error


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
        sequence = np.asarray(array, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"it is no array of numbers ({error})") from error
    if sequence.ndim == 1:
        sequence = sequence[None]
    if sequence.ndim != 2:
        raise DataError(f"its shape is {sequence.shape} where (L, D) or (D,) is needed")
    if not sequence.size:
        raise DataError(f"it is empty, its shape is {sequence.shape}")
    if not np.isfinite(sequence).all():
        row = int(np.argwhere(~np.isfinite(sequence))[0, 0])
        raise DataError(f"it has values that are not finite numbers, the first in its row {row + 1}")
    return sequence
