"""Samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmbert.core.types import Batch, Inputs
from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.loading.cached import POOLED, StoredTokens, collate_stored
from mmbert.data.loading.dataset import Sample, stack_targets
from mmbert.data.modalities.processor import Processor


class Collate:
    """Pads each modality by its own processor and stacks the targets. Picklable: workers carry it.

    Args:
        processors: by encoder name.
        augment: what changes a batch of training samples.
    """

    def __init__(self, processors: Mapping[str, Processor], augment: Augmentation | None = None) -> None:
        self.processors = dict(processors)
        self.augment = augment

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """B samples -> a batch of B."""
        inputs = {
            name: collated([sample.prepared[name] for sample in samples], processor)
            for name, processor in self.processors.items()
        }
        draws = [sample.draw for sample in samples if sample.draw is not None]
        if self.augment is not None and len(draws) == len(samples):
            inputs = {
                name: part if POOLED in part else self.augment.collated(part, self.processors[name], draws)
                for name, part in inputs.items()
            }
        skipped = tuple(fault for sample in samples for fault in sample.skipped)
        return Batch(inputs, stack_targets(samples), torch.tensor([sample.row for sample in samples]), skipped)


def collated(values: list[Any], processor: Processor) -> Inputs:
    """A batch of one modality, of values that were prepared now or encoded before."""
    stored = any(isinstance(value, StoredTokens) for value in values)
    return collate_stored(values, processor) if stored else processor.collate(values)
