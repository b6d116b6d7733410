"""A split of stored encoder outputs, held in memory as one batch of which the loader selects rows.

One more job over stored vectors is little arithmetic: reading sample by sample, collating and worker processes take
several times as long. What is read is the same, number for number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmbert.core.types import Batch, Inputs, map_leaves
from mmbert.data.labels import TargetEncoder, collates_by_rows
from mmbert.data.loading.cached import POOLED, StoredTokens, collate_stored
from mmbert.data.loading.dataset import Sample, SampleDataset
from mmbert.data.modalities.processor import Processor

#: Bytes of a split's float32 inputs above which it is read batch by batch: several jobs may run beside each other.
HELD_BYTES = 256 * 2**20


class HeldSplit(Dataset[Batch]):
    """The samples of a split; torch's ``DataLoader`` asks it for a batch's places at once, which needs no collating.

    Args:
        inputs: by encoder name what ``Collate`` makes of all N samples together.
        targets: by task name the same, with one row more, the last: of a sample without labels.
        rows: (N + 1,) int64, the samples' rows in their table; the last is -1.
    """

    def __init__(self, inputs: Mapping[str, Inputs], targets: Mapping[str, Any], rows: Tensor) -> None:
        self.inputs, self.targets, self.rows = dict(inputs), dict(targets), rows
        self.lengths = {name: part["mask"].sum(1) for name, part in inputs.items()}

    def __len__(self) -> int:
        return len(self.rows) - 1

    def __getitem__(self, index: int | tuple[int, int]) -> Batch:
        """A batch of one sample."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int | tuple[int, int]]) -> Batch:
        """The samples at places of the split, as ``SampleDataset`` and ``Collate`` would give them.

        Args:
            indices: as those of ``SampleDataset``; the epoch of ``(epoch, place)`` changes nothing.
        """
        asked = np.array([index[1] if isinstance(index, tuple) else index for index in indices], np.int64)
        places = torch.from_numpy(np.where(asked < 0, -1 - asked, asked))
        labelled = torch.from_numpy(np.where(asked < 0, len(self), asked))
        inputs = {name: self._inputs(name, places) for name in self.inputs}
        targets = map_leaves(self.targets, lambda tensor: tensor.index_select(0, labelled))
        return Batch(inputs, targets, self.rows.index_select(0, labelled))

    def _inputs(self, name: str, places: Tensor) -> Inputs:
        """One encoder's, padded to the longest of the batch."""
        part = self.inputs[name]
        # one token at least: fusions have no answer for a sequence without any
        longest = max(1, int(self.lengths[name].index_select(0, places).max())) if len(places) else 1
        cut = {key: tensor if key == POOLED else tensor[:, :longest] for key, tensor in part.items()}
        return {key: tensor.index_select(0, places) for key, tensor in cut.items()}


class HeldSplits:
    """The splits that are held, each made when it is first asked for, and anew when its samples have changed."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[SampleDataset, HeldSplit | None]] = {}

    def of(self, split: str, dataset: SampleDataset) -> HeldSplit | None:
        """A split's samples in memory; None where they are to be read one by one (``held_split``)."""
        if dataset.changes_samples:
            return None
        known = self.made.get(split)
        if known is None or not known[0].same_samples(dataset):
            self.made[split] = known = dataset, held_split(dataset)
        return known[1]


def held_split(dataset: SampleDataset) -> HeldSplit | None:
    """Reads a split whose every input is stored.

    Returns:
        None if samples change from epoch to epoch, some input has to be encoded or prepared, a task needs to see the
        whole batch to make its targets, a row cannot be used, or ``HELD_BYTES`` are exceeded.

    Raises:
        MmbertError: as ``SampleDataset`` does.
    """
    tasks = dataset.tasks
    if dataset.changes_samples or dataset.aligned or not len(dataset) or not all(map(collates_by_rows, tasks.values())):
        return None
    samples: list[Sample] = []
    size = HeldSize(len(dataset), list(dataset.processors))
    for place in range(len(dataset)):
        sample = dataset[place]
        if sample.skipped or not size.holds(sample):
            return None
        samples.append(sample)
    if not size.complete:
        return None
    inputs = {name: held_inputs(samples, name, processor) for name, processor in dataset.processors.items()}
    targets = {name: held_targets(samples, name, task) for name, task in tasks.items()}
    return HeldSplit(inputs, targets, torch.tensor([*(sample.row for sample in samples), -1]))


def held_inputs(samples: Sequence[Sample], name: str, processor: Processor) -> Inputs:
    """One encoder's of all samples, padded to the longest."""
    return collate_stored([sample.prepared[name] for sample in samples], processor)


def held_targets(samples: Sequence[Sample], name: str, task: TargetEncoder) -> dict[str, Tensor]:
    """One task's of all samples, and of one without labels after them."""
    return task.collate([*(sample.targets[name] for sample in samples), None])


class HeldSize:
    """Counts what samples take when they are held, as far as they have been seen.

    Args:
        size: samples of the split.
        names: of the encoders.
    """

    def __init__(self, size: int, names: Sequence[str]) -> None:
        self.size = size
        self.numbers = dict.fromkeys(names, 0)  # of the longest sample so far

    def holds(self, sample: Sample) -> bool:
        """Whether a sample is stored throughout, and the split as long as this one still fits."""
        for name, value in sample.prepared.items():
            if value is None:
                continue
            if not isinstance(value, StoredTokens):
                return False
            own = value.pooled.size + (0 if value.tokens is None else value.tokens.size)
            self.numbers[name] = max(self.numbers[name], own)
        return 4 * self.size * sum(self.numbers.values()) <= HELD_BYTES

    @property
    def complete(self) -> bool:
        """Whether every encoder has a sample: what nobody has is not known to be stored."""
        return all(self.numbers.values())
