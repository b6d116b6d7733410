"""Features that were extracted elsewhere: .npy, .npz and .safetensors files, or lists in a table's cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError, nearest
from mmbert.data.modalities.read import REMEDY, unusable

ENDINGS = (".npy", ".npz", ".safetensors")


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
        if ending == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        from safetensors.torch import load_file  # torch's, because NumPy has no bfloat16

        return {name: tensor.float().numpy() for name, tensor in load_file(path).items()}
    except Exception as error:  # readers raise whatever a broken file makes them meet
        raise unusable(path, "file of features", error) from error


def chosen(arrays: dict[str, np.ndarray], key: str | None) -> np.ndarray:
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
    array = chosen(value, key) if isinstance(value, dict) else value
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
