"""Keys of a table's inputs: hashes of the bytes of texts, pictures or sounds, which are in the table or in files.

Files are read once. A memo keeps the key of each by its path, size, modification time and inode. As in git, a file that
was changed less than two seconds before it was read is read again, since two changes may have the same time stamp.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import whole_file
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.table import SLICE, Table

#: A file's record in the memo. ``path`` is a hash of its name.
FILE = np.dtype(
    [("path", "<u8"), ("size", "<i8"), ("mtime", "<i8"), ("inode", "<u8"), ("read", "<i8"), ("key", "<u8", (2,))]
)
#: Nanoseconds within which two changes of a file may have the same time stamp.
RACY = 2_000_000_000
READ_AT_ONCE = 2**20
#: Cells read at a time where pictures or sounds are in the table itself.
MEDIA_CELLS = 64


def key_of(content: bytes) -> tuple[int, int]:
    """A 128-bit hash of some bytes, as two numbers that are never both 0."""
    return halves(xxhash.xxh3_128_intdigest(content))


def halves(digest: int) -> tuple[int, int]:
    """128 bits as two numbers."""
    return digest >> 64 or 1, digest & (2**64 - 1)


def content_keys(table: Table, column: str, rows: np.ndarray, modality: Modality, memo: FileMemo) -> np.ndarray:
    """The key of each cell's content.

    Args:
        table: where the cells are.
        column: which of its columns.
        rows: (n,) int64.
        modality: what the cells are; they name files, or hold the content themselves.
        memo: of files that were read before.

    Returns:
        (n, 2) uint64; zeros where the cell is empty, or its file cannot be read.
    """
    keys = np.zeros((len(rows), 2), np.uint64)
    step = MEDIA_CELLS if table.is_media(column) else SLICE
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        cells = table.column(column, part)
        keys[start : start + len(part)] = cell_keys(cells, modality, table.folder, memo)
    return keys


def cell_keys(cells: Sequence[Any], modality: Modality, folder: Path, memo: FileMemo) -> np.ndarray:
    """(n, 2) uint64: the keys of cells; see ``content_keys``."""
    keys = np.zeros((len(cells), 2), np.uint64)
    files: dict[int, str] = {}
    for number, cell in enumerate(cells):
        if cell is None:
            continue
        content = modality.content(cell, folder)
        if isinstance(content, str):
            files[number] = content
        elif content is not None:
            keys[number] = key_of(content)
    if files:
        keys[list(files)] = memo.keys(list(files.values()))
    return keys


class FileMemo:
    """The keys of files that were read before.

    Args:
        path: the memo's own file; need not exist. One that cannot be read is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = np.zeros(0, FILE)
        try:
            kept = np.load(path, mmap_mode="r", allow_pickle=False)  # memory is taken for what is there alone
            if kept.dtype == FILE and kept.ndim == 1:
                self.files = np.array(kept)
        except (OSError, ValueError, EOFError, TypeError, SyntaxError, MemoryError, OverflowError, RecursionError):
            pass
        self.changed = False

    def keys(self, paths: Sequence[str]) -> np.ndarray:
        """(n, 2) uint64: the keys of files' bytes; zeros where one cannot be read."""
        now = np.zeros(len(paths), FILE)
        for number, path in enumerate(paths):
            now[number]["path"] = xxhash.xxh3_64_intdigest(os.fsencode(path))
            try:
                refuse_special(path)
                state = os.stat(path)
            except (OSError, ValueError):  # ValueError: a null character in the name
                now[number]["size"] = -1
                continue
            now[number]["size"], now[number]["mtime"] = state.st_size, state.st_mtime_ns
            now[number]["inode"] = state.st_ino
        known = self._known(now)
        there = now["size"] >= 0
        now["key"][known >= 0] = self.files["key"][known[known >= 0]]
        fresh = np.flatnonzero((known < 0) & there)
        if len(fresh):
            with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
                now["read"][fresh] = time.time_ns()
                now["key"][fresh] = list(pool.map(file_key, [paths[int(number)] for number in fresh]))
            self._remember(now[fresh])
        keys: np.ndarray = now["key"]
        return keys

    def _known(self, now: np.ndarray) -> np.ndarray:
        """(n,) int64: the number in the memo of each file that is unchanged; -1 = unknown, or changed."""
        if not len(self.files):
            return np.full(len(now), -1)
        at = np.searchsorted(self.files["path"], now["path"])
        found = self.files[np.minimum(at, len(self.files) - 1)]
        same = np.logical_and.reduce([found[name] == now[name] for name in ("path", "size", "mtime", "inode")])
        same &= found["mtime"] < found["read"] - RACY
        return np.where(same, at, -1)

    def _remember(self, fresh: np.ndarray) -> None:
        fresh = fresh[(fresh["key"] != 0).any(1)]
        merged = np.concatenate([fresh, self.files])
        _, first = np.unique(merged["path"], return_index=True)  # sorted; of two the fresh one
        self.files = merged[first]
        self.changed = True

    def save(self) -> None:
        """Writes the memo, completely or not at all; files that another process added meanwhile are read again."""
        if not self.changed:
            return
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            np.save(file, self.files)
        self.changed = False


def file_key(path: str) -> tuple[int, int]:
    """The key of a file's bytes, (0, 0) if it cannot be read."""
    digest = xxhash.xxh3_128()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(READ_AT_ONCE):
                digest.update(block)
    except OSError:
        return 0, 0
    return halves(digest.intdigest())
