"""Every task's metrics for one split."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmbert.core.types import Tensors
from mmbert.tasks.base import Task


class StageMetrics(nn.Module):
    """One set of every task's metrics for one split.

    Args:
        tasks: by name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.sets = nn.ModuleDict({name: task.make_metrics() for name, task in tasks.items()})

    def update(self, tasks: Mapping[str, Task], outputs: Mapping[str, Tensors], targets: Mapping[str, Tensors]) -> None:
        """Adds a batch: outputs and targets by task."""
        for name, task in tasks.items():
            task.update(self.sets[name], outputs[name], targets[name])  # type: ignore[arg-type]

    def compute(self) -> dict[str, Tensor]:
        """``{"answer/accuracy": value}``; what is undefined (nobody was labelled) is left out, never a 0."""
        values = {
            f"{name}/{key}": value
            for name, metrics in self.sets.items()
            for key, value in metrics.compute().items()  # type: ignore[operator]
        }
        return {key: value for key, value in values.items() if not value.isnan()}

    def notes(self, tasks: Mapping[str, Task]) -> dict[str, str]:
        """``{"answer/bleu": how it was computed}`` of the metrics of which tasks say so; once they are computed."""
        return {
            f"{name}/{key}": note
            for name, task in tasks.items()
            for key, note in task.metric_notes(self.sets[name]).items()  # type: ignore[arg-type]
        }

    @property
    def names(self) -> set[str]:
        """``answer/accuracy`` of every metric, those that are undefined too."""
        return {f"{name}/{key}" for name, metrics in self.sets.items() for key in metrics}  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Forgets everything, for the next epoch."""
        for metrics in self.sets.values():
            metrics.reset()  # type: ignore[operator]
