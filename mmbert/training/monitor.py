"""Which validation metric chooses the checkpoint. A test metric never does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmbert.core.errors import ConfigError, nearest
from mmbert.tasks.base import Task


@dataclass(frozen=True)
class Monitor:
    """A metric's name and the direction in which it improves.

    Attributes:
        name: such as ``val/answer/accuracy``.
        mode: ``max`` or ``min``.
    """

    name: str
    mode: str


def choose_monitor(wanted: str | None, tasks: Mapping[str, Task], unlabelled: Collection[str] = ()) -> Monitor:
    """The metric asked for, or the main metric of the first task on the validation split.

    Args:
        wanted: its name; None = the default.
        tasks: by name.
        unlabelled: tasks for which no sample of the validation split is labelled, so that nothing is measured of them.

    Raises:
        ConfigError: the metric is not one of the validation split's, or cannot be measured there.
    """
    if wanted is None:
        name, task = next(iter(tasks.items()))
        wanted = f"val/{name}/{task.main_metric}"
    if wanted.split("/")[0] != "val":
        raise ConfigError(
            f"monitor={wanted}: a checkpoint is chosen on the validation split alone, never on another. "
            f"Use a metric that begins with val/. {nearest(wanted.replace('test', 'val', 1), directions(tasks))}"
        )
    modes = directions(tasks)
    if wanted not in modes:
        raise ConfigError(f"monitor={wanted} is not measured. {nearest(wanted, modes)}")
    measured = [name for name in tasks if name not in unlabelled]
    of = wanted.split("/")[1]  # a task, or the total loss
    if of in unlabelled or not measured:
        others = [f"monitor=val/{name}/{tasks[name].main_metric}" for name in measured]
        raise ConfigError(
            f"{wanted} shall choose the checkpoint, but no sample of the validation split is labelled for "
            f"{'any task' if not measured else f'the task {of}'}. Label some"
            f"{f', or choose another metric: {others[0]}' if others else ''}."
        )
    return Monitor(wanted, modes[wanted])


def directions(tasks: Mapping[str, Task]) -> dict[str, str]:
    """``max`` or ``min`` for every metric of the validation split."""
    modes = {"val/loss": "min", "val/loss_sum": "min"}
    for name, task in tasks.items():
        modes[f"val/{name}/loss"] = "min"
        for key, metric in task.make_metrics().items():
            higher = metric.higher_is_better
            modes[f"val/{name}/{key}"] = "max" if higher or higher is None else "min"
    return modes
