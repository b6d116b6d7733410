"""Poisson batches: each sample is in each batch by itself with one probability, as DP-SGD's accountants assume.

Batches have no fixed size, and may be empty: such a batch holds one stand-in without labels and with the row -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

#: Tells these random numbers from others of the same seed.
POISSON_STREAM = 0x9015_50A7
#: What stands in for an empty batch: a negative place is a copy that counts nowhere (``SampleDataset``).
NOBODY = -1


@dataclass(frozen=True)
class Poisson:
    """That training batches are drawn so.

    Attributes:
        secure: see ``PoissonBatches``.
    """

    secure: bool = False


class PoissonBatches(Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, place)`` that depend on the seed and the epoch alone.

    An epoch has N / batch_size batches, rounded up; a sample may be in several of them, or in none. As
    ``SeededSampler``, it is told the epoch by Lightning, and counts on by itself where it is not told.

    Args:
        data_source: the N samples.
        batch_size: the expected size of a batch; the sampling rate is ``batch_size / N``, at most 1.
        seed: of all epochs.
        secure: draw from the operating system's entropy instead of ``seed``: no run is then like another.
    """

    def __init__(self, data_source: Sized, batch_size: int, seed: int, secure: bool = False) -> None:
        self.samples = len(data_source)
        self.batch_size = batch_size
        self.seed = seed
        self.secure = secure
        self.epoch = 0
        self.skip = 0

    @property
    def sampler(self) -> PoissonBatches:
        """Itself: Lightning looks for ``set_epoch`` here."""
        return self

    @property
    def rate(self) -> float:
        """The probability with which a sample is in a batch."""
        return sampling_rate(self.samples, self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch, counted from 0."""
        self.epoch = epoch

    def skip_batches(self, batches: int) -> None:
        """The next pass starts after so many batches: they were seen before the interruption."""
        self.skip = batches

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        entropy = None if self.secure else [abs(self.seed), self.epoch, POISSON_STREAM]
        generator = np.random.default_rng(np.random.SeedSequence(entropy))
        begin, self.skip = self.skip, 0
        epoch = self.epoch
        self.epoch += 1
        for number in range(len(self)):
            drawn = (generator.random(self.samples) < self.rate).nonzero()[0]
            if number >= begin:
                yield [(epoch, int(place)) for place in drawn] or [(epoch, NOBODY)]


def sampling_rate(samples: int, batch_size: int) -> float:
    """``batch_size / samples``, at most 1."""
    return min(1.0, batch_size / samples)
