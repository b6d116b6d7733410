"""File locks by which several processes fill an array store together, each one part of its entries at a time.

A process fills the parts that no other is filling, one after the other, each under its lock. Parts that were locked
come last: it waits for them, and computes what a process that was killed has left. No process waits while there is
work: eight jobs of a sweep with a GPU each encode eight parts at once.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

#: The most parts that entries are divided into, and the fewest entries in each of several.
MAX_PARTS, ENTRIES_PER_PART = 16, 512


def part_count(entries: int) -> int:
    """The number of parts for so many entries."""
    return min(MAX_PARTS, max(1, entries // ENTRIES_PER_PART))


def part_numbers(keys: np.ndarray, count: int) -> np.ndarray:
    """Keys (n, 2) uint64 -> the part of each (n,), of ``count``; the same in every process."""
    parts: np.ndarray = (keys[:, 1] % np.uint64(count)).astype(np.int64)
    return parts


def locked_parts(folder: Path, parts: Iterable[int], waiting: Callable[[], None]) -> Iterator[int]:
    """Yields each part while its lock is held, first those that are free.

    Args:
        folder: of the array store.
        parts: those with missing entries.
        waiting: called once before the first wait for another process.
    """
    busy = []
    for part in parts:
        lock = part_lock(folder, part)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            busy.append(part)
            continue
        try:
            yield part
        finally:
            lock.release()
    if busy:
        waiting()
    for part in busy:
        with part_lock(folder, part):
            yield part


@contextmanager
def fill_lock(folder: Path) -> Iterator[None]:
    """Shared lock of a process that fills the array store; ``exclusive_lock`` waits until all are released."""
    with file_lock(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Exclusive lock of a process that deletes or rewrites the array store; no other fills it meanwhile."""
    with file_lock(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def file_lock(folder: Path, how: int) -> Iterator[None]:
    """``fcntl.flock`` on the array store's lock file; ``how`` is LOCK_SH or LOCK_EX."""
    with (folder / "fillers.lock").open("a") as file:
        fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: loader workers may have inherited the open file


def part_lock(folder: Path, part: int) -> FileLock:
    """A part's lock."""
    return FileLock(folder / f"filling-{part}.lock")
