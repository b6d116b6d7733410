"""Samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmbert.core.types import Batch, Inputs, Tensors
from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.labels import TargetEncoder
from mmbert.data.loading.cached import POOLED, StoredTokens, collate_stored
from mmbert.data.loading.dataset import Sample
from mmbert.data.modalities.processor import Processor


class Collate:
    """Pads each modality by its own processor, and lets each task make tensors of its labels. Workers carry it.

    Args:
        processors: by encoder name.
        augment: what changes a batch of training samples.
        tasks: by name; none = the batch has no targets.
        changing: whether tasks change what encoders read.
    """

    def __init__(
        self,
        processors: Mapping[str, Processor],
        augment: Augmentation | None = None,
        tasks: Mapping[str, TargetEncoder] | None = None,
        changing: bool = False,
    ) -> None:
        self.processors = dict(processors)
        self.augment = augment
        self.tasks = dict(tasks or {})
        self.changing = changing

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """B samples -> a batch of B."""
        inputs = {
            name: collate_modality([sample.prepared[name] for sample in samples], processor)
            for name, processor in self.processors.items()
        }
        targets = {
            name: task.collate([sample.targets[name] for sample in samples]) for name, task in self.tasks.items()
        }
        draws = [sample.draw for sample in samples if sample.draw is not None]
        if len(draws) == len(samples):
            inputs, targets = self._changed(inputs, targets, draws)
        skipped = tuple(fault for sample in samples for fault in sample.skipped)
        rows = torch.tensor([sample.row for sample in samples])
        return Batch(inputs, targets, rows, skipped, joined_alignments([sample.alignments for sample in samples]))

    def _changed(
        self, inputs: dict[str, Inputs], targets: dict[str, Tensors], draws: Sequence[int]
    ) -> tuple[dict[str, Inputs], dict[str, Tensors]]:
        """What augmentation and tasks make of a batch."""
        if self.augment is not None:
            inputs = {
                name: part if POOLED in part else self.augment.collated(part, self.processors[name], draws)
                for name, part in inputs.items()
            }
        for name, task in self.tasks.items():
            if self.changing and task.changes_inputs:
                read = {key: inputs[key] for key in task.changes_inputs}
                made, found = task.change_inputs(read, draws, targets[name])
                inputs, targets = {**inputs, **made}, {**targets, name: {**targets[name], **found}}
        return inputs, targets


def joined_alignments(samples: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Alignments of B samples, by modality -> by modality those of the batch, None where a sample lacks it.

    Tensors become NumPy arrays: worker processes send tensors through a file of shared memory each.
    """
    names = dict.fromkeys(name for sample in samples for name in sample)
    found = {name: [sample.get(name) for sample in samples] for name in names}
    return {name: [None if one is None else as_arrays(one) for one in each] for name, each in found.items()}


def as_arrays(alignment: Mapping[str, Any]) -> dict[str, Any]:
    """An alignment with NumPy arrays in place of tensors."""
    return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in alignment.items()}


def collate_modality(values: list[Any], processor: Processor) -> Inputs:
    """A batch of one modality, of values that were prepared now or encoded before."""
    stored = any(isinstance(value, StoredTokens) for value in values)
    return collate_stored(values, processor) if stored else processor.collate(values)
