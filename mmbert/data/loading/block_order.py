"""Orders of samples that lie in blocks (shards, row groups): blocks are read one after another, each by one process.

Training: the blocks are shuffled, of W processes each takes a stretch of the same number of samples, and within its
stretch each window of ``buffer`` samples is shuffled. Everything follows from the seed and the epoch, and the order is
known before a byte is read: a run that goes on in the middle of an epoch reads nothing of what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch

from mmbert.data.loading.samplers import EvaluationSampler, SeededSampler, Seen, rank_and_world_size

#: Told which blocks are needed next, in this order.
Ahead = Callable[[Sequence[int]], None]


class BlockOrder(SeededSampler):
    """All samples once an epoch, of several processes each its own stretch.

    Stretches are equally long, because every process must step as often as the others. What fills the last one up is a
    copy, ``-1 - place``: the data set gives it no labels and the row -1, so that no loss and no metric includes it.

    Args:
        data_source: the samples.
        seed: of all epochs.
        blocks: (samples,) the block of each.
        buffer: samples that are shuffled together.
        ahead: is sent which blocks come; None = nobody is.
        with_epoch: see ``SeededSampler``.
    """

    def __init__(
        self,
        data_source: Sized,
        seed: int,
        blocks: np.ndarray,
        buffer: int,
        ahead: Ahead | None = None,
        with_epoch: bool = False,
    ) -> None:
        super().__init__(data_source, seed, with_epoch)
        self.blocks = blocks
        self.buffer = buffer
        self.ahead = ahead
        self._own = np.empty(0, np.int64)

    def __len__(self) -> int:
        return -(-len(self.data_source) // rank_and_world_size()[1])

    def order(self, generator: torch.Generator) -> np.ndarray:
        """All places, block after block, the blocks shuffled."""
        numbers, at = np.unique(self.blocks, return_inverse=True)
        turn = torch.randperm(len(numbers), generator=generator).numpy()
        return np.argsort(turn[at], kind="stable")

    def share(self, places: np.ndarray, generator: torch.Generator, rank: int, world: int) -> np.ndarray:
        """One process's stretch, shuffled window by window and filled up to the length of the others."""
        each = -(-len(places) // world)
        own = places[rank * each : (rank + 1) * each]
        windows = [own[start : start + self.buffer] for start in range(0, len(own), self.buffer)]
        shuffled = [window[torch.randperm(len(window), generator=generator).numpy()] for window in windows]
        near = own[-1] if len(own) else places[-1]
        return np.concatenate([*shuffled, np.full(each - len(own), -1 - near, np.int64)])

    def left_of(self, seen: Sequence[Seen]) -> np.ndarray:
        """See ``SeededSampler``; kept, for blocks are announced by it."""
        self._own = super().left_of(seen)
        return self._own

    def __iter__(self) -> Iterator[Any]:
        places = super().__iter__()
        return places if self.ahead is None else announcing(places, self._own, self.blocks, self.buffer, self.ahead)


class BlockEvaluation(EvaluationSampler):
    """All samples in their order, of W processes each one stretch; filled up as ``BlockOrder`` does.

    Args:
        data_source: the samples.
        blocks: (samples,) the block of each.
        buffer: samples for which blocks are fetched ahead.
        ahead: is sent which blocks come; None = nobody is.
    """

    def __init__(self, data_source: Sized, blocks: np.ndarray, buffer: int, ahead: Ahead | None = None) -> None:
        super().__init__(data_source)
        self.blocks, self.buffer, self.ahead = blocks, buffer, ahead

    def __iter__(self) -> Iterator[int]:
        rank, world = rank_and_world_size()
        each, count = len(self), len(self.data_source)
        own = np.arange(min(rank * each, count), min((rank + 1) * each, count))
        near = own[-1] if len(own) else count - 1
        filled = np.concatenate([own, np.full(each - len(own), -1 - near, np.int64)])
        places = map(int, filled)
        return places if self.ahead is None else announcing(places, filled, self.blocks, self.buffer, self.ahead)


def announcing(
    places: Iterator[Any], order: np.ndarray, blocks: np.ndarray, buffer: int, ahead: Ahead
) -> Iterator[Any]:
    """The places; before each ``buffer`` of them, the blocks of these and of the next ones are announced.

    Args:
        places: in their order.
        order: (n,) the same; negative ones are ``-1 - place``.
        blocks: the block of each sample.
        buffer: places in a window.
        ahead: is sent.
    """
    sent: set[int] = set()
    for number, place in enumerate(places):
        if number % buffer == 0:
            coming = order[number : number + 2 * buffer]
            found = blocks[np.where(coming < 0, -1 - coming, coming)]
            _, at = np.unique(found, return_index=True)
            needed = [int(found[place_]) for place_ in np.sort(at)]
            new = [block for block in needed if block not in sent]
            sent = set(needed)
            if new:
                ahead(new)
        yield place
