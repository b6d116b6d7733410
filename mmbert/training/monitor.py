"""Which validation metric chooses the checkpoint. A test metric never does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.base import Task
from mmbert.training.module import AUXILIARY


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
    """The metric asked for, or the main metric of the first task on the validation split.

    Where that cannot be measured, the default is the task's loss, or the next task's metric.

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
        usual = [(name, f"val/{name}/{task.main_metric}") for name, task in tasks.items()]
        name, wanted = next(((name, key) for name, key in usual if name not in unlabelled), usual[0])
        note = "" if (name, wanted) == usual[0] else f"no sample of val is labelled for {usual[0][0]}"
        if wanted in undefined:
            note, wanted = f"{wanted} has no value on val ({undefined[wanted]})", f"val/{name}/loss"
        if note and name not in unlabelled:
            return Monitor(wanted, directions(tasks)[wanted], f"{note}: {wanted} chooses the checkpoint")
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
    refuse_undefined("monitor", wanted, modes, undefined)
    return Monitor(wanted, modes[wanted])


def refuse_undefined(option: str, wanted: str, known: Iterable[str], undefined: Mapping[str, str]) -> None:
    """Refuses a metric that has no value on the validation split, whatever is predicted.

    Args:
        option: that names the metric.
        wanted: the metric.
        known: all metrics of the validation split.
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
        refuse_undefined(option, wanted, modes, {**undefined, **unlabelled_metrics(of, modes, unlabelled)})


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
    for name, task in tasks.items():
        modes[f"val/{name}/loss"] = "min"
        for key, metric in task.make_metrics().items():
            higher = metric.higher_is_better
            modes[f"val/{name}/{key}"] = "max" if higher or higher is None else "min"
    return modes
