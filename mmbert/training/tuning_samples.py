"""What tasks read of the validation split to choose a threshold or a temperature, of all batches and processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist

from mmbert.core.types import Batch
from mmbert.model import ModelOutput
from mmbert.tasks.base import Task


class TuningSamples:
    """Each sample once, by its row, for every task that tunes."""

    def __init__(self) -> None:
        self.by_task: dict[str, dict[int, Any]] = {}

    def add(self, tasks: Mapping[str, Task], output: ModelOutput, batch: Batch) -> None:
        """Adds a batch; copies that only fill it up, and unlabelled samples, are left out."""
        rows = batch.rows.tolist()
        for name, task in tasks.items():
            if not task.tunes:
                continue
            found = task.tuning_data(output.state, output.outputs[name], batch.targets[name])
            entries = {row: entry for row, entry in zip(rows, found, strict=True) if row >= 0 and entry is not None}
            self.by_task.setdefault(name, {}).update(entries)

    def gather(self) -> dict[str, list[Any]]:
        """By task the samples of all processes, in the order of the table."""
        parts = [self.by_task]
        if dist.is_available() and dist.is_initialized():
            parts = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(parts, self.by_task)
        together: dict[str, dict[int, Any]] = {}
        for part in parts:
            for name, entries in part.items():
                together.setdefault(name, {}).update(entries)
        return {name: [entries[row] for row in sorted(entries)] for name, entries in together.items()}
