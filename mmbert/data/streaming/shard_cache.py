"""Shards of an object store on this machine's disk: fetched whole, kept while there is room, the oldest going first.

One request a shard is what object stores are fast at; a request a sample is not. All processes of a machine share one
folder: a shard is fetched by one of them, and the others wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xxhash
from filelock import FileLock

from mmbert.core.errors import DataError
from mmbert.core.home import home
from mmbert.core.whole_files import clear_leftovers
from mmbert.data.streaming.locations import copy_here

#: Attempts to open a shard that other processes throw out as soon as it is there.
OPENING_ATTEMPTS = 20
#: Of the files that hold shards.
KEPT_ENDING = ".shard"


class ShardCache:
    """A folder of shards.

    Args:
        folder: made if it does not exist.
        most_bytes: of all shards together. A shard that is open takes room for a little longer.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes

    def path_of(self, address: str, size: int | None, version: str) -> Path:
        """Where a shard is, or would be: another one for another size, or version of the set."""
        key = xxhash.xxh3_128_hexdigest(f"{address}\n{size}\n{version}".encode())
        return self.folder / f"{key}{KEPT_ENDING}"

    @contextmanager
    def opened(
        self, address: str, size: int | None, version: str, copy: Callable[[str, Path], None] = copy_here
    ) -> Iterator[BinaryIO]:
        """A shard, open to be read, fetched first if it is not here; ``copy`` as for ``fetch``.

        Raises:
            DataError: it cannot be fetched, or is no longer there.
        """
        path = self.path_of(address, size, version)
        for _ in range(OPENING_ATTEMPTS):
            self.fetch(address, size, version, copy)
            try:
                file = path.open("rb")
            except FileNotFoundError:  # another process needed the room
                continue
            with file:
                yield file
            return
        raise DataError(
            f"{address}: it is thrown out of {self.folder} as often as it is fetched; give it more room: "
            f"data.cache_gib={4 * self.most_bytes / 2**30:.2g}"
        )

    def fetch(
        self, address: str, size: int | None, version: str, copy: Callable[[str, Path], None] = copy_here
    ) -> None:
        """Sees to it that a shard is here.

        Args:
            address: of the shard.
            size: its bytes; None = unknown.
            version: see ``path_of``.
            copy: writes what the address means to a path, whole or not at all.

        Raises:
            DataError: it cannot be fetched.
        """
        path = self.path_of(address, size, version)
        if touched(path):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / f".{path.name}.lock"
        with FileLock(lock):
            if touched(path):
                return
            clear_leftovers(self.folder, [path.name])
            self.make_room(path, size or 0)
            try:
                copy(address, path)
                self.make_room(path)  # others may have been fetched meanwhile
            except FileNotFoundError:
                raise DataError(f"{address}: there is no such file.") from None
            finally:
                lock.unlink(missing_ok=True)

    def make_room(self, wanted: Path, size: int = 0) -> None:
        """Deletes the shards that were not used for the longest time until all have room.

        Args:
            wanted: a shard that stays.
            size: bytes that are needed besides.
        """
        with FileLock(self.folder / ".room.lock"):
            there = []
            for path in self.folder.glob(f"*{KEPT_ENDING}"):
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                there.append((state.st_mtime_ns, state.st_size, path))
            room = self.most_bytes - size - sum(each[1] for each in there)
            for _, freed, path in sorted(there):
                if room >= 0:
                    return
                if path != wanted:
                    path.unlink(missing_ok=True)
                    room += freed


def cache_in(folder: str | Path | None, gib: float) -> ShardCache | None:
    """A cache with this much room; None = there is none.

    Args:
        folder: of it; None = in mmbert's home.
        gib: its room.
    """
    if not gib:
        return None
    return ShardCache(home() / "shards" / "fetched" if folder is None else Path(folder), int(gib * 2**30))


def touched(path: Path) -> bool:
    """Whether a file is there; its time says from now on that it was used."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
