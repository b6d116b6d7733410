"""Data loader whose samples come with damaged versions of themselves, one for each level of damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import DataLoader, Dataset

from mmbert.core.types import Batch, Inputs, map_leaves
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.collate import Collate, collate_modality
from mmbert.data.loading.dataset import Sample, SampleDataset
from mmbert.data.loading.samplers import EvaluationSampler, LazyLoader
from mmbert.data.modalities.registry import modality_of

#: A sample, and for each level the prepared damaged inputs by encoder name.
Degraded = tuple[Sample, list[dict[str, Any]]]


@dataclass
class DegradedBatch(Batch):
    """A batch, and the same samples damaged.

    Attributes:
        degraded: for each level the tensors by encoder name, only of encoders whose inputs are damaged.
    """

    degraded: list[dict[str, Inputs]] = field(default_factory=list)

    def mapped(self, move: Callable[[Any], Any]) -> DegradedBatch:
        """As ``Batch.mapped``, for the damaged tensors too."""
        plain = super().mapped(move)
        degraded = [map_leaves(level, move) for level in self.degraded]
        return DegradedBatch(
            plain.inputs, plain.targets, plain.rows, plain.skipped, plain.alignments, degraded=degraded
        )


class DegradedSamples(Dataset[Degraded]):
    """Reads each raw value once and damages it at every level; damaged inputs are never read from the store.

    Args:
        clean: the split.
        degradation: the kinds of damage.
        levels: above 0 and at most 1 each.
        names: the encoders whose inputs are damaged.
    """

    def __init__(
        self, clean: SampleDataset, degradation: Degradation, levels: Sequence[float], names: Sequence[str]
    ) -> None:
        self.clean, self.degradation, self.levels, self.names = clean, degradation, list(levels), list(names)

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: int) -> Degraded:
        """The sample at a place and its damaged versions; a padding sample is not damaged.

        Raises:
            MmbertError: a file or a cell cannot be used; the message names it.
        """
        sample = self.clean[index]
        degraded: list[dict[str, Any]] = [{} for _ in self.levels]
        for name in self.names:
            values = self._values(name, sample)
            for level, value in zip(degraded, values, strict=True):
                level[name] = value
        return sample, degraded

    def _values(self, name: str, sample: Sample) -> list[Any]:
        """An encoder's prepared input of a sample at each level."""
        if sample.row < 0 or sample.prepared[name] is None:
            return [sample.prepared[name]] * len(self.levels)
        processor, row = self.clean.processors[name], sample.row
        with self.clean.naming(name, row):
            raw = self.clean.raw(name, self.clean.table.cell(row, self.clean.columns[name]))
            options, modality = self.degradation, modality_of(processor)
            return [
                modality.corrupted(raw, processor, level, options.sample_random(row, name), options)
                for level in self.levels
            ]


class DegradedCollate(Collate):
    """As ``Collate``, for samples with damaged versions."""

    def __call__(self, samples: Sequence[Any]) -> DegradedBatch:
        """B of them -> a batch of B."""
        plain = super().__call__([sample for sample, _ in samples])
        levels = range(len(samples[0][1]))
        degraded = [
            {
                name: collate_modality([damaged[level][name] for _, damaged in samples], self.processors[name])
                for name in samples[0][1][level]
            }
            for level in levels
        ]
        return DegradedBatch(
            plain.inputs, plain.targets, plain.rows, plain.skipped, plain.alignments, degraded=degraded
        )


def degraded_loader(
    data: MultimodalData, split: str, degradation: Degradation, levels: Sequence[float], names: Sequence[str]
) -> DataLoader[Batch]:
    """Batches of a split in its order, as from ``data.loader``, with the damaged versions.

    Args:
        data: bound to the model.
        split: its name.
        degradation: the kinds of damage.
        levels: above 0 and at most 1 each.
        names: the encoders whose inputs are damaged.
    """
    clean = data.dataset(split)
    return LazyLoader(
        DegradedSamples(clean, degradation, levels, names),  # type: ignore[arg-type]
        batch_size=data.eval_batch_size,
        sampler=EvaluationSampler(clean),
        num_workers=data.num_workers,
        collate_fn=DegradedCollate(data.processors, None, data.tasks, clean.changing),
        pin_memory=data.pin_memory,
    )
