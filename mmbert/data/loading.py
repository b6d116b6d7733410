"""Batches in an order that depends on the seed and the epoch alone, whatever was drawn or read before."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from mmbert.core.types import Batch


class SeededOrder(RandomSampler):
    """All samples once an epoch, shuffled anew for each.

    A run that is resumed in epoch 7 sees epoch 7's order, because Lightning tells samplers the epoch; without anybody
    to tell, each pass is the next epoch. It is a ``RandomSampler`` so that Lightning puts its own distributed sampler,
    which shuffles by seed and epoch too, in its place.

    Args:
        data_source: the samples.
        seed: of all epochs.
    """

    def __init__(self, data_source: Sized, seed: int) -> None:
        super().__init__(data_source)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch, counted from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        # both numbers hashed together: seed 0's second epoch must not be seed 1's first
        entropy = np.random.SeedSequence([abs(self.seed), self.epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(entropy >> np.uint64(1)))
        self.epoch += 1
        return iter(torch.randperm(len(self.data_source), generator=generator).tolist())  # type: ignore[arg-type]


class LazyLoader(DataLoader[Batch]):
    """A ``DataLoader`` whose workers begin when the first batch is asked for.

    torch's own begins with ``iter()``, which Lightning calls in a resumed run before it tells the epoch to the sampler:
    the first batches would come in the order of epoch 0.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches: Any = super().__iter__()
        try:
            yield from batches
        except Exception as error:
            if self.num_workers:
                # A worker's error holds torch's frames, and they the workers, in a cycle: left to the garbage
                # collector, that costs five seconds of waiting. The worker's own traceback is in a fault's message.
                del batches
                raise error.with_traceback(None)  # noqa: B904
            raise
