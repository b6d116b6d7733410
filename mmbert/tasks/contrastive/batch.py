"""The samples of one step over all processes, and which of them are the same: what losses over pairs compare."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from mmbert.core.types import Loss
from mmbert.fusion.layers.all_gather import gather_rows

#: Stands for a cell that is like no other: an empty one.
NO_CELL = 0


@dataclass(frozen=True)
class SharedBatch:
    """This process's B samples beside the N of all processes.

    Attributes:
        vectors: (N, ...) float; gradients flow back to the process that a row came from.
        known: (N, ...) bool, which of the vectors are to be compared.
        cells: (N, K) int64, fingerprints of cells, ``NO_CELL`` where there is none.
        counted: (N,) bool, which samples are counted for the task.
        begin: where this process's rows begin.
        size: B.
    """

    vectors: Tensor
    known: Tensor
    cells: Tensor
    counted: Tensor
    begin: int
    size: int

    @property
    def own(self) -> slice:
        """This process's rows."""
        return slice(self.begin, self.begin + self.size)

    def same(self) -> Tensor:
        """(B, N) bool: a row with itself, and with those that share one of its cells."""
        found = same_cells(self.cells[self.own], self.cells)
        places = torch.arange(self.size, device=found.device)
        found[places, places + self.begin] = True
        return found

    def loss(self, total: Tensor, pairs: Tensor, takes_part: Tensor) -> Loss:
        """This process's part of the mean over all pairs, such that training adds it up to exactly that mean.

        Training multiplies the mean of this process by W n / N (``mmbert.training.loss_weights``), with n of the N
        counted samples being this process's, and averages gradients over the W processes. So that the sum is that of
        ``total`` over all processes, divided by ``pairs``, the mean is given as total · N / (n · pairs).

        Args:
            total: () this process's sum.
            pairs: () how many pairs all processes have.
            takes_part: (B,) bool, which of this process's samples have a part in a pair.
        """
        own = self.counted[self.own].sum().clamp(min=1)
        mean = total * (self.counted.sum() / (own * pairs.clamp(min=1)))
        count = takes_part.sum()
        return Loss(mean * count, count)


def shared_batch(vectors: Tensor, known: Tensor, cells: Tensor, counted: Tensor, gather: bool) -> SharedBatch:
    """This process's samples, and with ``gather`` those of all others; then every process must call it.

    Args:
        vectors: (B, ...) float.
        known: (B, ...) bool.
        cells: (B, K) int64.
        counted: (B,) bool.
        gather: whether all processes compare their samples.
    """
    size = len(vectors)
    if not (gather and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return SharedBatch(vectors, known, cells, counted, 0, size)
    everyone, begin = gather_rows(vectors)
    flags = torch.cat([counted.unsqueeze(1), known.flatten(1)], 1).long()
    numbers, _ = gather_rows(torch.cat([flags, cells], 1))
    width = flags.shape[1]
    there = numbers[:, 1:width].bool().view(-1, *known.shape[1:])
    return SharedBatch(everyone, there, numbers[:, width:], numbers[:, 0].bool(), begin, size)


def same_cells(rows: Tensor, columns: Tensor) -> Tensor:
    """rows (B, K) and columns (N, K) int64 -> (B, N) bool: which share a cell; an empty one is shared by none."""
    found = torch.zeros(len(rows), len(columns), dtype=torch.bool, device=rows.device)
    for k in range(rows.shape[1]):  # one at a time: (B, N, K) would be large
        cell = rows[:, k].unsqueeze(1)
        found |= (cell == columns[:, k]) & (cell != NO_CELL)
    return found
