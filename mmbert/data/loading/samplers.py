"""Samplers whose order depends on the seed and the epoch alone, and the ``DataLoader`` that uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Sampler

from mmbert.core.types import Batch
from mmbert.data.loading.shared_memory import SharedMemoryBatch, SharedMemoryCollate
from mmbert.data.loading.task_draws import TaskDraws


@dataclass(frozen=True)
class Seen:
    """What processes had seen of an epoch when they were interrupted.

    Attributes:
        samples: that each of them had seen.
        world: how many they were.
    """

    samples: int
    world: int


class SeededSampler(Sampler[Any]):
    """All samples once an epoch, shuffled anew for each; of several processes, each its own share of them.

    A run that is resumed in epoch 7 has epoch 7's order, because Lightning sets the epoch of samplers; where it is not
    set, each pass is the next epoch. The shares are equal, because every process must step as often as the others: the
    remainder, fewer samples than processes and others in each epoch, is left out.

    Args:
        data_source: the samples.
        seed: of all epochs.
        with_epoch: give ``(epoch, index)`` instead of an index, for samples that change from epoch to epoch.
        draws: how often each sample comes; None = once.
    """

    def __init__(self, data_source: Sized, seed: int, with_epoch: bool = False, draws: TaskDraws | None = None) -> None:
        self.data_source = data_source
        self.draws = draws
        self.seed = seed
        self.with_epoch = with_epoch
        self.epoch = 0
        self.seen: list[Seen] = []

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch, counted from 0."""
        self.epoch = epoch

    def skip_once(self, *seen: Seen) -> None:
        """The next pass leaves out what was seen before interruptions, of each of which the next went on."""
        self.seen = list(seen)

    def __len__(self) -> int:
        return len(self.data_source) // rank_and_world_size()[1]

    def __iter__(self) -> Iterator[Any]:
        order = self.left_of(self.seen)
        self.seen = []
        epoch = self.epoch
        self.epoch += 1
        places = map(int, order)  # one Python object at a time: a list of them takes many times the room
        return ((epoch, place) for place in places) if self.with_epoch else places

    def left_of(self, seen: Sequence[Seen]) -> np.ndarray:
        """This process's places of the epoch, after what was seen."""
        # both numbers hashed together: seed 0's second epoch must not be seed 1's first
        entropy = np.random.SeedSequence([abs(self.seed), self.epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(entropy >> np.uint64(1)))
        order = self.order(generator)
        rank, world = rank_and_world_size()
        same = bool(seen) and seen[-1].world == world  # this process goes on in what was its own share
        begin = seen[-1].samples if same else 0
        changes = seen[:-1] if same else seen
        if not changes:
            return self.share(order, generator, rank, world)[begin:]
        state, left = generator.get_state(), np.arange(len(order))
        for earlier in changes:
            known = np.zeros(len(order), bool)
            for other in range(earlier.world):
                generator.set_state(state)
                share = self.share(left, generator, other, earlier.world)[: earlier.samples]
                known[share[share >= 0]] = True
            left = left[~known[left]]
            if not len(left):
                return left
        generator.set_state(state)
        own = self.share(left, generator, rank, world)[begin:]
        return np.where(own < 0, -1 - order[-1 - own], order[own])

    def share(self, places: np.ndarray, generator: torch.Generator, rank: int, world: int) -> np.ndarray:
        """One process's part of places of the order; a negative one, ``-1 - place``, is a copy that fills up.

        Args:
            places: in the order, those that are left of it.
            generator: where it stands once the order is made.
            rank: of the process.
            world: how many processes there are.
        """
        return places[rank::world][: len(places) // world]

    def order(self, generator: torch.Generator) -> np.ndarray:
        """All processes' places in the order of one epoch."""
        if self.draws is not None:
            return self.draws.order(generator)
        return torch.randperm(len(self.data_source), generator=generator).numpy()


class EvaluationSampler(Sampler[int]):
    """All samples in their order; of W processes, each every W-th one.

    Shares are made equally long, for collectives would wait for a missing batch. What fills them up is a sample with a
    negative index, ``-1 - index``: the data set gives it no labels and the row -1, so that no loss
    and no metric includes it.

    Args:
        data_source: the samples.
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return -(-len(self.data_source) // rank_and_world_size()[1])

    def __iter__(self) -> Iterator[int]:
        rank, world = rank_and_world_size()
        own = list(range(rank, len(self.data_source), world))
        return iter([*own, *[-1] * (len(self) - len(own))])


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class LookAhead(Protocol):
    """Sees batches before they are trained on, as many at a time as make one step of the optimiser."""

    def size(self) -> int:
        """How many batches the next step takes."""
        ...

    def see(self, batches: Sequence[Batch]) -> None:
        """Those batches, on the CPU, before the first of them is given out."""
        ...


class LazyLoader(DataLoader[Batch]):
    """A ``DataLoader`` whose workers begin when the first batch is asked for, and send each batch in one piece.

    torch's own begins with ``iter()``, which Lightning calls in a resumed run before it sets the sampler's epoch:
    the first batches would come in the order of epoch 0.

    Attributes:
        look_ahead: is shown the batches of each step of the optimiser before they come; None = nobody.
    """

    look_ahead: LookAhead | None = None

    def __init__(self, dataset: Any, *, collate_fn: Callable[..., Any], **options: Any) -> None:
        collate = collate_fn if isinstance(collate_fn, SharedMemoryCollate) else SharedMemoryCollate(collate_fn)
        super().__init__(dataset, collate_fn=collate, **options)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches: Any = super().__iter__()
        try:
            unpacked = (sent.batch() if isinstance(sent, SharedMemoryBatch) else sent for sent in batches)
            if self.look_ahead is None:
                yield from unpacked
                return
            while step := list(islice(unpacked, max(1, self.look_ahead.size()))):
                self.look_ahead.see(step)
                while step:
                    yield step.pop(0)
        except Exception as error:
            if self.num_workers:
                # A worker's error holds torch's frames, and they the workers, in a cycle: left to the garbage
                # collector, that costs five seconds of waiting. The worker's own traceback is in a fault's message.
                del batches
                raise error.with_traceback(None)  # noqa: B904
            raise
