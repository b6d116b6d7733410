"""``OpenBlocks``: what a process has open of a data set's blocks (shards, row groups), and what it fetches ahead."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Generic, TypeVar

from mmbert.core.errors import MmbertError

Opened = TypeVar("Opened")

#: Blocks that are fetched at the same time.
FETCHED_AT_ONCE = 4


class OpenBlocks(Generic[Opened]):
    """The open blocks of a process: the one that was not used for the longest time is closed.

    A subclass says how a block is opened and fetched; a copy in another process begins with none open.

    Args:
        most_open: at the same time.
    """

    def __init__(self, most_open: int) -> None:
        self._most_open = most_open
        self._begin()

    def _begin(self) -> None:
        self._open: OrderedDict[int, tuple[Opened, ExitStack]] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, object]:
        own = {"_open", "_lock", "_queue", "_process"}
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._begin()

    def _open_block(self, block: int, stack: ExitStack) -> Opened:
        """Opens a block; what the stack holds is closed with it."""
        raise NotImplementedError

    def _fetch_block(self, block: int) -> None:
        """Brings a block here, or nearer."""
        raise NotImplementedError

    def block(self, number: int) -> Opened:
        """A block, open to be read."""
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number][0]
            stack = ExitStack()
            found = self._open_block(number, stack)
            self._open[number] = found, stack
            if len(self._open) > self._most_open:
                self._open.popitem(last=False)[1][1].close()
            return found

    def fetch_ahead(self, blocks: Sequence[int]) -> None:
        """Begins to fetch blocks, in this order."""
        if self._process != os.getpid():  # a forked process has no threads of its parent
            self._begin()
        if self._queue is None:
            self._queue = ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="mmbert-blocks")
        for block in blocks:
            self._queue.submit(self._fetch_quietly, block)

    def _fetch_quietly(self, block: int) -> None:
        # whoever needs the block meets the error again, and tells
        with contextlib.suppress(OSError, MmbertError):
            self._fetch_block(block)
