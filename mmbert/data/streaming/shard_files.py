"""``ShardFiles``: the bytes of members of shards, by their places; shards that lie elsewhere are fetched first."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.regular_files import refuse_special
from mmbert.data.streaming.locations import is_address, read_bytes
from mmbert.data.streaming.shard_cache import ShardCache

#: Shards that a process holds open.
MOST_OPEN = 64
#: Shards that are fetched at the same time.
FETCHED_AT_ONCE = 4


class ShardFiles:
    """The shards of a data set; each process opens its own.

    Args:
        names: paths or addresses, by the shards' numbers.
        sizes: their bytes; None = unknown.
        version: of the set; changes with its content.
        cache: where those that lie elsewhere are kept; None = nowhere, and every member is a request.
    """

    def __init__(
        self, names: Sequence[str], sizes: Sequence[int | None], version: str, cache: ShardCache | None
    ) -> None:
        self.names, self.sizes, self.version, self.cache = list(names), list(sizes), version, cache
        self._open: OrderedDict[int, tuple[BinaryIO, contextlib.ExitStack]] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, object]:
        return {"names": self.names, "sizes": self.sizes, "version": self.version, "cache": self.cache}

    def __setstate__(self, state: dict[str, object]) -> None:
        ShardFiles.__init__(self, **state)  # type: ignore[arg-type]

    def read(self, shard: int, place: int, size: int) -> bytes:
        """Bytes of a shard.

        Raises:
            DataError: the shard is not there, or ends too soon.
        """
        name = self.names[shard]
        try:
            if self.cache is None and is_address(name):
                found = read_bytes(name, place, place + size)
            else:
                found = os.pread(self._file(shard).fileno(), size, place)
        except FileNotFoundError:
            raise DataError(f"{name}: there is no such file") from None
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror or error})") from error
        if len(found) < size:
            raise DataError(f"{name} ends too soon: of {size:,} bytes from {place:,} on, {len(found):,} are there")
        return found

    def fetch_ahead(self, shards: Sequence[int]) -> None:
        """Begins to fetch shards, in this order; those on this machine's disk are read into its memory's spare room."""
        if self._process != os.getpid():  # a forked process has no threads of its parent
            ShardFiles.__setstate__(self, self.__getstate__())
        if self._queue is None:
            self._queue = ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="mmbert-shards")
        for shard in shards:
            self._queue.submit(self._fetch, shard)

    def _fetch(self, shard: int) -> None:
        name = self.names[shard]
        # whoever needs the shard meets the error again, and tells
        with contextlib.suppress(OSError, MmbertError):
            if is_address(name):
                if self.cache is not None:
                    self.cache.fetch(name, self.sizes[shard], self.version)
            elif hasattr(os, "posix_fadvise"):
                with open(name, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    def _file(self, shard: int) -> BinaryIO:
        """The open file of a shard; the one that was not used for the longest time is closed."""
        with self._lock:
            if shard in self._open:
                self._open.move_to_end(shard)
                return self._open[shard][0]
            name, stack = self.names[shard], contextlib.ExitStack()
            if is_address(name):
                assert self.cache is not None
                file = stack.enter_context(self.cache.opened(name, self.sizes[shard], self.version))
            else:
                refuse_special(name)
                file = stack.enter_context(Path(name).open("rb"))  # noqa: SIM115 - the stack closes it
            self._open[shard] = file, stack
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1][1].close()
            return file
