"""The order of training samples: a function of the seed and the epoch, whatever was drawn before."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import RandomSampler


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
