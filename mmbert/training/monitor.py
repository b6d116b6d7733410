"""Which validation metric chooses the checkpoint. A test metric never does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.base import Task
from mmbert.training.evaluation_module import AUXILIARY, MEAN_LOSS


@dataclass(frozen=True)
class Monitor:
    """A metric's name and the direction in which it improves.

    Attributes:
        name: such as ``val/answer/accuracy``.
        mode: ``max`` or ``min``.
        note: why it is not the usual one; empty if it is.
    """

    name: str
    mode: str
    note: str = ""


def choose_monitor(
    wanted: str | None,
    tasks: Mapping[str, Task],
    unlabelled: Collection[str] = (),
    undefined: Mapping[str, str] | None = None,
) -> Monitor:
    """The metric asked for, or ``usual_monitor``.

    Args:
        wanted: its name; None = the default.
        tasks: by name.
        unlabelled: tasks for which no sample of the validation split is labelled, so that nothing is measured of them.
        undefined: metrics that have no value on the validation split whatever is predicted, and why.

    Raises:
        ConfigError: the metric is not one of the validation split's, or cannot be measured there.
    """
    undefined = undefined or {}
    if wanted is None:
        usual = usual_monitor(tasks, unlabelled, undefined)
        if usual is not None:
            return usual
        wanted = f"val/{next(iter(tasks))}/{next(iter(tasks.values())).main_metric}"
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
    refuse_undefined("monitor", wanted, shown_directions(tasks), undefined)
    return Monitor(wanted, modes[wanted])


def usual_monitor(
    tasks: Mapping[str, Task], unlabelled: Collection[str], undefined: Mapping[str, str]
) -> Monitor | None:
    """What chooses if nothing is asked for: several tasks' mean loss on the validation split, one task's main metric.

    Tasks of weight 0 are not trained and have no part in it. Where a main metric cannot be measured, the task's loss
    chooses. None if no task is labelled on the split.
    """
    trained = [name for name, task in tasks.items() if task.weight] or list(tasks)
    counted = [name for name in trained if name not in unlabelled]
    left_out = [name for name in trained if name in unlabelled]
    note = f"no sample of val is labelled for {', '.join(left_out)}" if left_out else ""
    if len(counted) > 1:
        name = f"val/{MEAN_LOSS}"
        return Monitor(name, "min", f"{note}: {name} is that of the others" if note else "")
    if not counted:
        return None
    name = f"val/{counted[0]}/{tasks[counted[0]].main_metric}"
    if name in undefined:
        note, name = f"{name} has no value on val ({undefined[name]})", f"val/{counted[0]}/loss"
    return Monitor(name, directions(tasks)[name], f"{note}: {name} chooses the checkpoint" if note else "")


def task_monitors(
    tasks: Mapping[str, Task], unlabelled: Collection[str], undefined: Mapping[str, str]
) -> dict[str, Monitor]:
    """``usual_monitor`` of each task by itself, for those that are trained and labelled on the validation split."""
    found = {name: usual_monitor({name: task}, unlabelled, undefined) for name, task in tasks.items() if task.weight}
    return {name: monitor for name, monitor in found.items() if monitor is not None}


def refuse_undefined(option: str, wanted: str, known: Iterable[str], undefined: Mapping[str, str]) -> None:
    """Refuses a metric that has no value on the validation split, whatever is predicted.

    Args:
        option: that names the metric.
        wanted: the metric.
        known: metrics of the validation split to choose from.
        undefined: those without a value, and why.

    Raises:
        ConfigError: names the metric, the reason and the metrics of the same task that have a value.
    """
    if wanted not in undefined:
        return
    task = wanted.rpartition("/")[0]
    others = [f"{option}={key}" for key in known if key.startswith(f"{task}/") and key not in undefined]
    raise ConfigError(
        f"{option}={wanted} has no value on the validation split: {undefined[wanted]}. Choose another metric "
        f"({', '.join(others)}), or give the split other samples."
    )


def check_callbacks(
    callbacks: Mapping[str, Any], tasks: Mapping[str, Task], unlabelled: Collection[str], undefined: Mapping[str, str]
) -> None:
    """Refuses a metric that a callback names for itself and that the validation split cannot give.

    Args:
        callbacks: the config group.
        tasks: by name.
        unlabelled: see ``choose_monitor``.
        undefined: see ``choose_monitor``.

    Raises:
        ConfigError: says which, and why.
    """
    modes = directions(tasks)
    for name, part in callbacks.items():
        wanted = str((part or {}).get("monitor") or "")
        if not wanted.startswith("val/") or wanted.startswith(f"val/{AUXILIARY}"):
            continue
        option = f"callbacks.{name}.monitor"
        if wanted not in modes:
            raise ConfigError(f"{option}={wanted} is not measured. {nearest(wanted, modes)}")
        of = wanted.split("/")[1]
        lacking = {**undefined, **unlabelled_metrics(of, modes, unlabelled)}
        refuse_undefined(option, wanted, shown_directions(tasks), lacking)


def unlabelled_metrics(task: str, known: Iterable[str], unlabelled: Collection[str]) -> dict[str, str]:
    """The metrics of a task without labels on the validation split, and that reason."""
    if task not in unlabelled:
        return {}
    return {key: f"no sample is labelled for {task}" for key in known if key.startswith(f"val/{task}/")}


def undefined_metrics(
    tasks: Mapping[str, Task], data: MultimodalData, rows: np.ndarray, unlabelled: Collection[str]
) -> dict[str, str]:
    """``val/TASK/METRIC`` of the metrics that have no value over these rows whatever is predicted, and why.

    Tasks whose labels depend on the inputs are left out: what they measure shows in training.

    Args:
        tasks: by name.
        data: with the labels, already checked.
        rows: (n,) of the table, those that are validated.
        unlabelled: tasks for which no row is labelled.
    """
    undefined: dict[str, str] = {}
    for name, task in tasks.items():
        if name in unlabelled or not task.columns or task.aligned_to or task.changes_inputs:
            continue
        cells = {c: data.table.column(c, rows) if data.has_column(c) else [None] * len(rows) for c in task.columns}
        labels = [task.encode(dict(zip(cells, row, strict=True)), {}) for row in zip(*cells.values(), strict=True)]
        reasons = task.undefined_metrics(task.collate(labels))
        undefined |= {f"val/{name}/{metric}": reason for metric, reason in reasons.items()}
    return undefined


def directions(tasks: Mapping[str, Task]) -> dict[str, str]:
    """``max`` or ``min`` for every metric of the validation split."""
    modes = {"val/loss": "min", "val/loss_sum": "min"}
    if len(tasks) > 1:
        modes[f"val/{MEAN_LOSS}"] = "min"
    for name, task in tasks.items():
        modes[f"val/{name}/loss"] = "min"
        for key, metric in task.make_metrics().items():
            higher = metric.higher_is_better
            modes[f"val/{name}/{key}"] = "max" if higher or higher is None else "min"
    return modes


def shown_directions(tasks: Mapping[str, Task]) -> dict[str, str]:
    """The same of the metrics that tables show: those that a message proposes."""
    hidden = hidden_metrics(tasks)
    return {key: mode for key, mode in directions(tasks).items() if key.removeprefix("val/") not in hidden}


def hidden_metrics(tasks: Mapping[str, Task], monitor: str = "") -> set[str]:
    """``TASK/METRIC`` of what tables for people leave out: what tasks do not show, unless it chooses the checkpoint."""
    return {
        f"{name}/{key}"
        for name, task in tasks.items()
        if task.shown_metrics is not None
        for key in task.make_metrics()
        if key not in task.shown_metrics and f"val/{name}/{key}" != monitor
    }
