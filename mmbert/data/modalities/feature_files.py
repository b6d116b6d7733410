"""Files of features: their arrays by name. What a header claims is compared with the file before memory is taken."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.errors import REMEDY, unusable_file

ENDINGS = (".npy", ".npz", ".safetensors")
#: Numbers in the arrays of one file: 1 GB in float64, and half as much again as the float32 that is made of them.
MOST_NUMBERS = 2**27
#: Bytes of a header's beginning, in each version of the format: the magic, the version, two bytes of its length.
NPY_START = 10
#: Bytes of a header; NumPy itself refuses more than 10,000.
MOST_HEADER = 2**16


#: What the readers take: a file, or its bytes.
FeatureSource = Path | bytes


def read_arrays(path: str | Path, content: bytes | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file by name; of a .npy file the one, called ``""``. Nothing in a file is ever run.

    Args:
        path: of the file.
        content: its bytes, where it lies in something larger; ``path`` is then its name in that.

    Raises:
        DataError: the file does not exist, has another ending, holds no arrays, or claims more than there is or can be.
    """
    path = Path(path)
    readers = {".npy": lambda source: {"": read_npy(source)}, ".npz": read_npz, ".safetensors": read_safetensors}
    if path.suffix.lower() not in ENDINGS:
        raise DataError(
            f"{path}: features lie in files that end in {', '.join(ENDINGS)}, or are lists in the cells of a JSONL or "
            f"Parquet table. {REMEDY}"
        )
    try:
        if content is None:
            refuse_special(path)
        return readers[path.suffix.lower()](path if content is None else content)
    except Exception as error:  # readers raise whatever a broken file makes them meet
        raise unusable_file(path, "file of features", error) from error


def sequence_lengths(path: str | Path, content: bytes | None = None) -> dict[str, int]:
    """Rows of each array of a file by name, from the headers alone; of a single vector 1.

    Args:
        path: see ``read_arrays``.
        content: likewise.

    Raises:
        DataError: see ``read_arrays``.
    """
    path = Path(path)
    readers = {".npy": npy_shapes, ".npz": npz_shapes}
    try:
        if content is None:
            refuse_special(path)
        shapes = readers.get(path.suffix.lower(), safetensors_shapes)(path if content is None else content)
    except Exception as error:
        raise unusable_file(path, "file of features", error) from error
    return {name: shape[0] if len(shape) > 1 else 1 for name, shape in shapes.items()}


@contextmanager
def opened_source(source: FeatureSource) -> Iterator[tuple[IO[bytes], int]]:
    """The bytes as a file, and how many there are."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source)
        return
    with source.open("rb") as file:
        yield file, source.stat().st_size


def read_npy(source: FeatureSource) -> np.ndarray:
    """The array of a .npy file."""
    with opened_source(source) as (file, size):
        header = array_header(file, size)
        check_numbers(header.shape)
        array = np.empty(header.shape, header.dtype, order=header.order)
        read = file.readinto(array.reshape(-1, order="A").view(np.uint8)) if array.size else 0  # type: ignore[attr-defined]
    if read != array.nbytes:
        raise DataError(f"it ends after {read:,} of the {array.nbytes:,} bytes of its array")
    return array


def npy_shapes(source: FeatureSource) -> dict[str, tuple[int, ...]]:
    """The shape of the array of a .npy file."""
    with opened_source(source) as (file, size):
        return {"": array_header(file, size).shape}


def read_npz(source: FeatureSource) -> dict[str, np.ndarray]:
    """The arrays of a .npz file."""
    check_numbers(*npz_shapes(source).values())
    with opened_source(source) as (content, _), np.load(content, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def npz_shapes(source: FeatureSource) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a .npz file."""
    shapes = {}
    with opened_source(source) as (content, _), zipfile.ZipFile(content) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shapes[member.filename.removesuffix(".npy")] = array_header(file, member.file_size).shape
    return shapes


def read_safetensors(source: FeatureSource) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file; those of types that NumPy does not have become float32."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load

    known = {torch.float64, torch.float32, torch.float16, torch.complex64, torch.bool}
    known |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}
    check_numbers(*safetensors_shapes(source).values())
    if isinstance(source, bytes):
        tensors = load(source)
    else:
        with safe_open(source, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    return {name: (tensor if tensor.dtype in known else tensor.float()).numpy() for name, tensor in tensors.items()}


def safetensors_shapes(source: FeatureSource) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a .safetensors file; the library compares its header with the file."""
    from safetensors import deserialize, safe_open

    if isinstance(source, bytes):
        return {name: tuple(each["shape"]) for name, each in deserialize(source)}
    with safe_open(source, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


class ArrayHeader(NamedTuple):
    """What NumPy's format says before the numbers."""

    shape: tuple[int, ...]
    order: Literal["C", "F"]
    dtype: np.dtype


def array_header(file: IO[bytes], size: int) -> ArrayHeader:
    """The header of an array in NumPy's format; the file stands at its numbers afterwards.

    Args:
        file: at its beginning.
        size: bytes of the file.

    Raises:
        DataError: it should hold more bytes than it has.
        ValueError: it is no array.
    """
    header = parsed_header(header_bytes(file))
    claimed = math.prod(header.shape) * header.dtype.itemsize
    if header.dtype.hasobject:
        raise DataError("it holds Python objects, which are not read: store an array of numbers")
    if min(header.shape, default=0) < 0 or claimed > size:
        raise DataError(f"its header claims an array of {header.shape}, {claimed:,} bytes, but the file has {size:,}")
    return header


def header_bytes(file: IO[bytes]) -> bytes:
    """All bytes before the numbers, or as many as there are."""
    start = file.read(NPY_START)
    width = 2 if start[6:7] == b"\x01" else 4
    start += file.read(8 + width - len(start))
    return start + file.read(min(int.from_bytes(start[8:], "little"), MOST_HEADER))


@lru_cache(maxsize=1024)
def parsed_header(header: bytes) -> ArrayHeader:
    """What a header says. Files of a set have few different ones, and to parse one takes longer than to read numbers.

    Raises:
        ValueError: it is none.
    """
    from numpy.lib import format as npy

    file = io.BytesIO(header)
    version = npy.read_magic(file)  # type: ignore[no-untyped-call]
    read_header: Any = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)
    shape, fortran, dtype = read_header(file)
    return ArrayHeader(tuple(int(length) for length in shape), "F" if fortran else "C", dtype)


def check_numbers(*shapes: tuple[int, ...]) -> None:
    """Refuses arrays that are too large to be held in memory.

    Raises:
        DataError: they have more than ``MOST_NUMBERS``.
    """
    numbers = sum(map(math.prod, shapes))
    if numbers > MOST_NUMBERS:
        raise DataError(f"its arrays have {numbers:,} numbers, more than {MOST_NUMBERS:,}: divide them")
