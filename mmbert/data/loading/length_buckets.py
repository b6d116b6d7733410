"""Length buckets: batches of samples of similar length, with little padding and in random order.

An epoch is shuffled as ever, cut into pools of many batches, and sorted by length, a little blurred, within each pool;
the batches are then shuffled. So a sample meets others in every epoch, but of its own length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized

import numpy as np
import torch

from mmbert.data.loading.samplers import SeededSampler, rank_and_world_size
from mmbert.data.loading.task_draws import TaskDraws
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.table import SLICE, Rows, Table

#: Batches that are sorted together.
POOL = 100
#: By so much, as a standard deviation of its logarithm, a length is blurred anew in each epoch before it is sorted by:
#: where one pool holds all samples, the same ones would meet in every epoch.
BLUR = 0.1
#: Cells at a time where sounds lie in the table itself.
FEW = 64


class BucketedOrder(SeededSampler):
    """All samples once an epoch, those of like length together; of several processes, each its share of every batch.

    The order follows from the seed and the epoch alone, as that of ``SeededSampler`` does. All processes' n-th batches
    come from one bucket, so none waits for another's longer one; only the last batch of an epoch is smaller.

    Args:
        data_source: the samples.
        seed: of all epochs.
        lengths: (samples,) of any unit.
        batch_size: of each process.
        with_epoch: see ``SeededSampler``.
        draws: see ``SeededSampler``.
    """

    def __init__(
        self,
        data_source: Sized,
        seed: int,
        lengths: np.ndarray,
        batch_size: int,
        with_epoch: bool = False,
        draws: TaskDraws | None = None,
    ) -> None:
        super().__init__(data_source, seed, with_epoch, draws)
        self.lengths = lengths
        self.batch_size = batch_size

    def order(self, generator: torch.Generator) -> np.ndarray:
        """All processes' places in the order of one epoch, batch after batch of all processes together."""
        order = super().order(generator)
        together = self.batch_size * rank_and_world_size()[1]
        pools = [order[start : start + POOL * together] for start in range(0, len(order), POOL * together)]
        blurred = self.lengths * torch.randn(len(self.lengths), generator=generator).mul_(BLUR).exp_().numpy()
        by_length = np.concatenate([pool[np.argsort(blurred[pool], kind="stable")] for pool in pools] or [order])
        whole = len(order) // together
        batches = by_length[: whole * together].reshape(whole, together)
        batches = batches[torch.randperm(whole, generator=generator).numpy()]
        return np.concatenate([batches.reshape(-1), by_length[whole * together :]])


def sample_lengths(
    table: Table,
    rows: Rows,
    columns: Mapping[str, str],
    inputs: Mapping[str, Modality],
    most: Mapping[str, float | None],
    taken: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """How long samples are: texts in characters and sounds in seconds, each divided by its mean, added up.

    Args:
        table: where they are.
        rows: (n,) which.
        columns: by encoder name.
        inputs: what each encoder reads; those without a ``length_unit`` add nothing.
        most: seconds beyond which an encoder cuts; None = never.
        taken: (table's rows,) bool by encoder name, cells that count as missing.

    Returns:
        (n,) float; a modality that is missing, or cannot be read, adds nothing.
    """
    total = np.zeros(len(rows))
    numbers = np.asarray(rows, np.int64)
    for name, column in columns.items():
        modality = inputs[name]
        if modality.length_unit is None:
            continue
        step = FEW if table.is_media(column) else SLICE
        parts = [numbers[start : start + step] for start in range(0, len(numbers), step)]
        cells = (cell for part in parts for cell in table.column(column, part))
        folder = str(table.folder)
        lengths = np.fromiter((0.0 if cell is None else modality.length(cell, folder) for cell in cells), float)
        limit = most.get(name)
        lengths = lengths if limit is None else np.minimum(lengths, limit)
        if name in (taken or {}):
            lengths = np.where((taken or {})[name][numbers], 0.0, lengths)
        total += lengths / (lengths.mean() or 1.0) if len(lengths) else 0.0
    return total
