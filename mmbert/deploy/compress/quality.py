"""How well a variant answers: each task's main metric with its interval, and the difference to the original.

Intervals: 95 %, percentiles of the bootstrap over samples. Differences are paired: both models are measured on the same
resamples of the samples that both can answer. So an interval says what other samples would change, and nothing of what
another training would.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchmetrics import MetricCollection

from mmbert.analysis.explanation import interval_of
from mmbert.analysis.task_games import EXPLAINED, metric_value
from mmbert.core.types import Batch, Tensors, rows_of
from mmbert.deploy.compress.variant import Variant
from mmbert.tasks.base import Task


@dataclass
class VariantAnswers:
    """What a variant made of a split.

    Attributes:
        rows: (N,) rows of the table, ascending.
        outputs: by task, (N, …) each; only of tasks of which samples can be drawn again.
        targets: the same.
        values: by task the main metric over the split; NaN where it has none.
    """

    rows: np.ndarray
    outputs: dict[str, Tensors]
    targets: dict[str, Tensors]
    values: dict[str, float]


def variant_answers(variant: Variant, batches: Iterable[Batch]) -> VariantAnswers:
    """Runs a variant over a split that is bound to its model. Samples of which nothing is left are left out."""
    tasks = variant.model.named_tasks()
    metrics = {name: task.make_metrics() for name, task in tasks.items()}
    rows: list[np.ndarray] = []
    outputs: dict[str, list[Tensors]] = {name: [] for name in tasks}
    targets: dict[str, list[Tensors]] = {name: [] for name in tasks}
    for batch in batches:
        present = torch.stack([x["mask"].any(1) for n, x in batch.inputs.items() if n != variant.without], 1).any(1)
        index = (present & (batch.rows >= 0)).nonzero().squeeze(1)
        if not len(index):
            continue
        inputs = batch.inputs if len(index) == len(batch) else rows_of(batch.inputs, index)
        wanted = rows_of(batch.targets, index)
        made = variant.run(inputs, wanted)
        rows.append(batch.rows[index].numpy())
        for name, task in tasks.items():
            if name not in made:
                continue
            task.update(metrics[name], made[name], wanted[name])
            if task.kind in EXPLAINED:
                outputs[name].append({key: tensor.detach().clone() for key, tensor in made[name].items()})
                targets[name].append(wanted[name])
    order = np.argsort(np.concatenate(rows))
    places = torch.from_numpy(order)
    return VariantAnswers(
        np.concatenate(rows)[order],
        {name: rows_of(joined_batches(parts), places) for name, parts in outputs.items() if parts},
        {name: rows_of(joined_batches(parts), places) for name, parts in targets.items() if parts},
        {name: main_value(task, metrics[name]) for name, task in tasks.items()},
    )


def joined_batches(parts: list[Tensors]) -> Tensors:
    """Batches one after another."""
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def main_value(task: Task, metrics: MetricCollection) -> float:
    """The main metric of what was added; NaN where it has no value."""
    if task.main_metric not in metrics or not metrics[task.main_metric].update_called:
        return float("nan")
    return float(metrics[task.main_metric].compute())


def resampled(task: Task, outputs: Tensors, targets: Tensors, bootstraps: int, seed: int) -> np.ndarray:
    """(bootstraps,) the main metric of samples drawn with replacement; the draws depend on N and the seed alone."""
    metrics = MetricCollection({task.main_metric: task.make_metrics()[task.main_metric]})
    count = len(next(iter(targets.values())))
    draws = np.random.default_rng(seed)
    found = np.empty(bootstraps)
    with torch.inference_mode():
        for place in range(bootstraps):
            index = torch.from_numpy(draws.integers(count, size=count))
            found[place] = metric_value(
                task, metrics, task.main_metric, rows_of(outputs, index), rows_of(targets, index)
            )
    return found


def quality_summary(
    variant: Variant, answers: VariantAnswers, original: VariantAnswers, bootstraps: int, seed: int
) -> dict[str, dict[str, Any]]:
    """By task: ``metric``, ``higher_is_better``, ``samples``, ``value``, ``low``, ``high``, ``difference``.

    ``difference`` is the variant's less the original's on the samples that both answer; with ``low`` and ``high``.
    """
    found = {}
    common, own, other = np.intersect1d(answers.rows, original.rows, return_indices=True)
    for name, task in variant.model.named_tasks().items():
        value = answers.values[name]
        if np.isnan(value):
            continue
        about: dict[str, Any] = {"metric": task.main_metric, "higher_is_better": task.higher_is_better}
        about["samples"] = len(answers.rows)
        spread = difference = None
        change = value - original.values.get(name, float("nan"))
        if name in answers.outputs and name in original.outputs:
            if bootstraps:
                spread = resampled(task, answers.outputs[name], answers.targets[name], bootstraps, seed)
            mine = [rows_of(part[name], torch.from_numpy(own)) for part in (answers.outputs, answers.targets)]
            theirs = [rows_of(part[name], torch.from_numpy(other)) for part in (original.outputs, original.targets)]
            change = one_value(task, *mine) - one_value(task, *theirs)
            if bootstraps and len(common):
                both = [resampled(task, made, wanted, bootstraps, seed) for made, wanted in (mine, theirs)]
                difference = both[0] - both[1]
        found[name] = {**about, **interval_of(value, spread), "difference": interval_of(change, difference)}
    return found


def one_value(task: Task, outputs: Tensors, targets: Tensors) -> float:
    """The main metric of some samples."""
    metrics = MetricCollection({task.main_metric: task.make_metrics()[task.main_metric]})
    return metric_value(task, metrics, task.main_metric, outputs, targets)
