"""What a task gains or loses by sharing: runs of several tasks against runs of each task alone, seed by seed.

For task t with metric M_t, b the run of t alone and m the one of several tasks with the same seed:

    difference  M_m,t - M_b,t       its mean, Student's interval and paired t test, p corrected by Holm over the tasks
    Δ_m = 100 · (1/T) Σ_t (-1)^l_t · (M_m,t - M_b,t) / M_b,t        in percent; l_t = 1 where less is better

Δ_m is that of Maninis et al. 2019 ("Attentive Single-Tasking of Multiple Tasks", arXiv:1904.08918) and of Vandenhende
et al. 2021 ("Multi-Task Learning for Dense Prediction Tasks: A Survey", arXiv:2004.13379), taken for each seed; it is
over the tasks that have runs of their own, and wants metrics that are not 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mmbert.reporting.statistics.compare import holm, paired_t
from mmbert.reporting.statistics.summary import is_error

if TYPE_CHECKING:
    import pandas as pd

#: The first of these that a task has is compared where neither the report's metric nor what chose the checkpoint of the
#: task's single runs is one of its scores.
COMPARED_METRICS = ("accuracy", "map", "mae")
#: Options that say how several tasks are trained together: they mean nothing for a run of one task.
OF_SEVERAL_TASKS = ("balance", "task_sampling", "checkpoint")
#: What joins the names in the column ``tasks``.
JOINED = "+"


@dataclass(frozen=True)
class TaskGain:
    """One task in runs of several tasks against runs of it alone.

    Attributes:
        task: its name.
        metric: such as ``test/answer/accuracy``.
        alone: by seed.
        together: by seed.
        difference: mean over the seeds that both have; NaN without any.
        low: of its 95 % interval.
        high: of the same.
        p: of the paired t test.
        p_holm: corrected for the number of tasks.
    """

    task: str
    metric: str
    alone: Mapping[int, float]
    together: Mapping[int, float]
    difference: float
    low: float
    high: float
    p: float
    p_holm: float

    def relative(self, seed: int) -> float:
        """The gain of one seed as a share of what the task has alone; positive is better. NaN where that is 0."""
        before = self.alone[seed]
        sign = -1.0 if is_error(self.metric) else 1.0
        return sign * (self.together[seed] - before) / before if before else math.nan


@dataclass(frozen=True)
class SharingGain:
    """What all tasks of a group gain.

    Attributes:
        group: the runs of several tasks, by the report's name of the group.
        tasks: those that have runs of their own.
        overall: Δ_m by seed, in percent; NaN where a metric alone is 0.
    """

    group: str
    tasks: list[TaskGain]
    overall: dict[int, float]


def sharing_gains(members: Mapping[str, pd.DataFrame], by: Sequence[str], metric: str) -> list[SharingGain]:
    """One for each group of runs with several tasks, where some of these tasks have runs of their own.

    A group is compared with the single runs that share its other keys (the same fusion, for instance). A balance and
    other options ``OF_SEVERAL_TASKS`` need not be shared if no single run has them. A task whose single runs repeat a
    seed is left out, for it is not known which to compare with.

    Args:
        members: finished runs by group, from ``collect``.
        by: the columns by which they are grouped.
        metric: of the report.
    """
    import pandas as pd

    if not members:
        return []
    whole = pd.concat(list(members.values()))
    single = whole[~whole["tasks"].astype(str).str.contains(JOINED, regex=False)]
    others = [column for column in by if column != "tasks"]
    found = []
    for name, runs in members.items():
        labels = set(runs["tasks"].astype(str))
        if len(labels) != 1 or JOINED not in (label := labels.pop()):
            continue
        like = single
        for column in others:
            narrower = like[like[column].astype(str) == str(runs.iloc[0][column])]
            of_several = column.removeprefix("config.").split(".")[0] in OF_SEVERAL_TASKS
            like = narrower if len(narrower) or not of_several else like
        gains = [one for task in label.split(JOINED) if (one := gain_of(task, like, runs, metric)) is not None]
        if gains:
            found.append(SharingGain(name, corrected(gains), overall(gains)))
    return found


def gain_of(task: str, single: pd.DataFrame, together: pd.DataFrame, metric: str) -> TaskGain | None:
    """A task's, still without Holm's correction; None without runs of it alone, or without a seed in common."""
    alone_runs = single[single["tasks"].astype(str) == task]
    name = metric_of(task, alone_runs, together, metric)
    if name is None or alone_runs["seed"].duplicated().any() or together["seed"].duplicated().any():
        return None
    alone, shared = (metric_of_seeds(runs, name) for runs in (alone_runs, together))
    seeds = sorted(set(alone) & set(shared))
    if not seeds:
        return None
    differences = np.array([shared[seed] - alone[seed] for seed in seeds])
    p, low, high = paired_t(differences)
    return TaskGain(task, name, alone, shared, float(differences.mean()), low, high, p, p)


def metric_of(task: str, alone: pd.DataFrame, together: pd.DataFrame, metric: str) -> str | None:
    """What is compared of a task, on the split of the report's metric; None if there is nothing.

    The report's metric if it is of the task; else what chose the checkpoints of its single runs, its main metric unless
    somebody asked for another; else a usual one.
    """
    start = f"{metric.split('/')[0]}/{task}/"
    if metric.startswith(start):
        return metric
    known = [c for c in together.columns if str(c).startswith(start) and c in alone and alone[c].notna().any()]
    known = [c for c in known if together[c].notna().any() and not c.startswith((f"{start}loss", f"{start}cut_"))]
    monitors = {str(name).rpartition("/")[2] for name in alone["monitor"].dropna()} if "monitor" in alone else set()
    chosen = [start + name for name in monitors if len(monitors) == 1]
    usual = [start + name for name in COMPARED_METRICS]
    return next((c for c in [*chosen, *usual, *known] if c in known), None)


def metric_of_seeds(runs: pd.DataFrame, name: str) -> dict[int, float]:
    """A metric of each run that has it."""
    done = runs[runs[name].notna() & runs["seed"].notna()]
    return dict(zip(done["seed"].astype(int), done[name].astype(float), strict=True))


def corrected(gains: Sequence[TaskGain]) -> list[TaskGain]:
    """The same with p corrected by Holm's method over the tasks."""
    return [replace(one, p_holm=p) for one, p in zip(gains, holm([one.p for one in gains]), strict=True)]


def overall(gains: Sequence[TaskGain]) -> dict[int, float]:
    """Δ_m in percent, of each seed that all tasks have with and without the others."""
    seeds = set.intersection(*(set(one.alone) & set(one.together) for one in gains))
    return {seed: 100 * float(np.mean([one.relative(seed) for one in gains])) for seed in sorted(seeds)}
