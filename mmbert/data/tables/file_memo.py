"""``FileMemo``: what was found in files, by their path, size, modification time and inode, so that each is read once.

As in git, a file that was changed less than two seconds before it was read is read again, since two changes may have
the same time stamp.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xxhash

from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import whole_file

#: A file's record in the memo. ``path`` is a hash of its name.
FILE = np.dtype(
    [("path", "<u8"), ("size", "<i8"), ("mtime", "<i8"), ("inode", "<u8"), ("read", "<i8"), ("key", "<u8", (2,))]
)
#: Nanoseconds within which two changes of a file may have the same time stamp.
RACY = 2_000_000_000


def halves(digest: int) -> tuple[int, int]:
    """128 bits as two numbers."""
    return digest >> 64 or 1, digest & (2**64 - 1)


class FileMemo:
    """What was found in files that were read before, as two numbers each.

    Args:
        path: the memo's own file; need not exist. One that cannot be read is replaced.
        of: reads a file; two numbers that are never both 0, or (0, 0) if it cannot be read.
    """

    def __init__(self, path: Path, of: Callable[[str], tuple[int, int]]) -> None:
        self.path, self.of = path, of
        self.files = np.zeros(0, FILE)
        try:
            kept = np.load(path, mmap_mode="r", allow_pickle=False)  # memory is taken for what is there alone
            if kept.dtype == FILE and kept.ndim == 1:
                self.files = np.array(kept)
        except (OSError, ValueError, EOFError, TypeError, SyntaxError, MemoryError, OverflowError, RecursionError):
            pass
        self.changed = False

    def keys(self, paths: Sequence[str]) -> np.ndarray:
        """(n, 2) uint64: what is known of files, each read once; zeros where one cannot be read."""
        names, places = np.unique(np.array(paths, object), return_inverse=True)
        return self._distinct(names.tolist())[places]

    def _distinct(self, paths: Sequence[str]) -> np.ndarray:
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
                now["key"][fresh] = list(pool.map(self.of, [paths[int(number)] for number in fresh]))
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
