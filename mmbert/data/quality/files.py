"""One pass over the files of a table: can they be read, how large are they, which are the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.features import as_sequence
from mmbert.data.modalities.read import read_raw
from mmbert.data.quality.hashing import perceptual_hash

#: Cells that are taken up at a time: memory holds no more decoded ones than there are threads.
AHEAD = 256


@dataclass(frozen=True)
class FileFacts:
    """What is known of what a cell names, or of the cell itself.

    Attributes:
        fault: why it cannot be used; None = it can.
        digest: of its bytes; equal for equal files.
        size: (width, height) of a picture, in pixels.
        seconds: length of a sound.
        rate_hz: of a sound.
        look: perceptual hash of a picture; None for a sound, or a picture without any pattern.
        shape: (L, D) of features.
    """

    fault: str | None = None
    digest: bytes = b""
    size: tuple[int, int] | None = None
    seconds: float | None = None
    rate_hz: int | None = None
    look: int | None = None
    shape: tuple[int, int] | None = None


def cell_facts(cell: Any, folder: Path, kind: str, key: str | None = None) -> FileFacts:
    """Reads one cell as training would: pictures and sounds are decoded whole.

    Args:
        cell: a file name relative to ``folder``; or features as lists of numbers.
        folder: of the table.
        kind: ``image``, ``audio`` or ``features``.
        key: the array's name in files of features that hold several.
    """
    try:
        if kind == "features":
            sequence = as_sequence(read_raw(kind, cell, folder), key)
            return FileFacts(digest=hashed(sequence.tobytes()), shape=(len(sequence), sequence.shape[1]))
        raw = read_raw(kind, cell, folder)
        content = cell.get("bytes") if isinstance(cell, dict) else None
        name = cell["path"] if isinstance(cell, dict) else cell
        same = digest(folder / name) if content is None else hashed(content)
        if kind == "image":
            return FileFacts(digest=same, size=raw.size, look=perceptual_hash(raw))
        samples, rate = raw
        return FileFacts(digest=same, seconds=len(samples) / rate, rate_hz=rate)
    except MmbertError as error:
        return FileFacts(fault=str(error))
    except MemoryError:
        return FileFacts(fault=f"{cell!r:.60}: it needs more memory than this machine has")


def hashed(content: bytes) -> bytes:
    """Sixteen bytes that differ between contents that differ."""
    return hashlib.blake2b(content, digest_size=16).digest()


def digest(path: Path) -> bytes:
    """``hashed`` of a file, which is not read whole at once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def all_facts(cells: Iterable[Any], folder: Path, kind: str, key: str | None = None) -> Iterator[FileFacts]:
    """The facts of every cell, in order; several are read at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        rest = iter(cells)
        while part := list(islice(rest, AHEAD)):
            yield from pool.map(lambda cell: cell_facts(cell, folder, kind, key), part)
