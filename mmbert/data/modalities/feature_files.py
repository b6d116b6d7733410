"""Files of features: their arrays by name. What a header claims is compared with the file before memory is taken."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.errors import REMEDY, unusable_file

ENDINGS = (".npy", ".npz", ".safetensors")
#: Numbers in the arrays of one file: 1 GB in float64, and half as much again as the float32 that is made of them.
MOST_NUMBERS = 2**27


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; of a .npy file the one, called ``""``. Nothing in a file is ever run.

    Raises:
        DataError: the file does not exist, has another ending, holds no arrays, or claims more than there is or can be.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(
            f"{path}: features lie in files that end in {', '.join(ENDINGS)}, or are lists in the cells of a JSONL or "
            f"Parquet table. {REMEDY}"
        )
    try:
        refuse_special(path)
        if ending == ".npy":
            return {"": read_npy(path)}
        return read_npz(path) if ending == ".npz" else read_safetensors(path)
    except Exception as error:  # readers raise whatever a broken file makes them meet
        raise unusable_file(path, "file of features", error) from error


def sequence_lengths(path: str | Path) -> dict[str, int]:
    """Rows of each array of a file by name, from the headers alone; of a single vector 1.

    Raises:
        DataError: see ``read_arrays``.
    """
    path = Path(path)
    try:
        refuse_special(path)
        shapes = {".npy": npy_shapes, ".npz": npz_shapes}.get(path.suffix.lower(), safetensors_shapes)(path)
    except Exception as error:
        raise unusable_file(path, "file of features", error) from error
    return {name: shape[0] if len(shape) > 1 else 1 for name, shape in shapes.items()}


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file."""
    with path.open("rb") as file:
        check_numbers(array_shape(file, path.stat().st_size))
        file.seek(0)
        array: np.ndarray = np.load(file, allow_pickle=False)
    return array


def npy_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of the array of a .npy file."""
    with path.open("rb") as file:
        return {"": array_shape(file, path.stat().st_size)}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file."""
    check_numbers(*npz_shapes(path).values())
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a .npz file."""
    shapes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shapes[member.filename.removesuffix(".npy")] = array_shape(file, member.file_size)
    return shapes


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file; those of types that NumPy does not have become float32."""
    import torch
    from safetensors import safe_open

    known = {torch.float64, torch.float32, torch.float16, torch.complex64, torch.bool}
    known |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}
    check_numbers(*safetensors_shapes(path).values())
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return {name: (tensor if tensor.dtype in known else tensor.float()).numpy() for name, tensor in tensors.items()}


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a .safetensors file; the library compares its header with the file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def array_shape(file: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape of an array in NumPy's format.

    Args:
        file: at its beginning.
        size: bytes of the file.

    Raises:
        DataError: it should hold more bytes than it has.
        ValueError: it is no array.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    read_header: Any = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
    shape, _, dtype = read_header(file)
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise DataError("it holds Python objects, which are not read: store an array of numbers")
    if min(shape, default=0) < 0 or claimed > size:
        raise DataError(f"its header claims an array of {shape}, {claimed:,} bytes, but the file has {size:,}")
    return tuple(int(length) for length in shape)


def check_numbers(*shapes: tuple[int, ...]) -> None:
    """Refuses arrays that are too large to be held in memory.

    Raises:
        DataError: they have more than ``MOST_NUMBERS``.
    """
    numbers = sum(map(math.prod, shapes))
    if numbers > MOST_NUMBERS:
        raise DataError(f"its arrays have {numbers:,} numbers, more than {MOST_NUMBERS:,}: divide them")
