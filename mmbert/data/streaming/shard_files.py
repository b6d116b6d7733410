"""``ShardFiles``: the bytes of members of shards, by their places; shards that lie elsewhere are fetched first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from mmbert.core.errors import DataError
from mmbert.core.regular_files import refuse_special
from mmbert.data.streaming.locations import is_address, read_bytes
from mmbert.data.streaming.open_blocks import OpenBlocks
from mmbert.data.streaming.shard_cache import ShardCache

#: Shards that a process holds open.
MOST_OPEN = 64


class ShardFiles(OpenBlocks[BinaryIO]):
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
        super().__init__(MOST_OPEN)

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
                found = os.pread(self.block(shard).fileno(), size, place)
        except FileNotFoundError:
            raise DataError(f"{name}: there is no such file") from None
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror or error})") from error
        if len(found) < size:
            raise DataError(f"{name} ends too soon: of {size:,} bytes from {place:,} on, {len(found):,} are there")
        return found

    def _fetch_block(self, block: int) -> None:
        """Shards on this machine's disk are read into its memory's spare room."""
        name = self.names[block]
        if is_address(name):
            if self.cache is not None:
                self.cache.fetch(name, self.sizes[block], self.version)
        elif hasattr(os, "posix_fadvise"):
            with open(name, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    def _open_block(self, block: int, stack: ExitStack) -> BinaryIO:
        name = self.names[block]
        if is_address(name):
            assert self.cache is not None
            return stack.enter_context(self.cache.opened(name, self.sizes[block], self.version))
        refuse_special(name)
        return stack.enter_context(Path(name).open("rb"))  # noqa: SIM115 - the stack closes it
