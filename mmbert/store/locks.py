"""Who fills what: processes that lack the same entries share the work, for a shelf's entries fall into parts.

A process fills the parts that no other is at, one after the other, each under its lock; those that others were at come
last, to wait for them and to do what one that was killed has left. Nobody waits while there is anything to do: eight
jobs of a sweep with a GPU each encode eight parts at once.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

#: Parts of a shelf at most, and the entries that make another one worth while.
MOST_PARTS, ENTRIES = 16, 512


def part_count(entries: int) -> int:
    """Parts that so many entries fall into."""
    return min(MOST_PARTS, max(1, entries // ENTRIES))


def parts_of(keys: np.ndarray, count: int) -> np.ndarray:
    """Keys (n, 2) uint64 -> the part of each (n,), of ``count``; the same in every process."""
    parts: np.ndarray = (keys[:, 1] % np.uint64(count)).astype(np.int64)
    return parts


def taking(folder: Path, parts: Iterable[int], waiting: Callable[[], None]) -> Iterator[int]:
    """Gives each part while its lock is held, first those that are free.

    Args:
        folder: of the shelf.
        parts: that lack something.
        waiting: called once before the first wait for another process.
    """
    busy = []
    for part in parts:
        lock = lock_of(folder, part)
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
        with lock_of(folder, part):
            yield part


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """While it lasts, whoever wants to be alone waits; any number of processes fill at once."""
    with held(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While it lasts, no process fills any part."""
    with held(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def held(folder: Path, how: int) -> Iterator[None]:
    """The lock that says whether anybody fills a shelf, shared or exclusive."""
    with (folder / "fillers.lock").open("a") as file:
        fcntl.flock(file, how)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: loader workers may hold the file open too


def lock_of(folder: Path, part: int) -> FileLock:
    """A part's lock."""
    return FileLock(folder / f"filling-{part}.lock")
