"""Samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mmbert.core.types import Batch
from mmbert.data.dataset import Sample, stack_targets
from mmbert.data.processor import Processor


class Collate:
    """Pads each modality by its own processor and stacks the targets. Picklable: workers carry it.

    Args:
        processors: by encoder name.
    """

    def __init__(self, processors: Mapping[str, Processor]) -> None:
        self.processors = dict(processors)

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """B samples -> a batch of B."""
        inputs = {
            name: processor.collate([sample.prepared[name] for sample in samples])
            for name, processor in self.processors.items()
        }
        return Batch(inputs, stack_targets(samples), torch.tensor([sample.row for sample in samples]))
