"""Learning curves of runs, and what quality costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmbert.runs.folder import RunFolder
from mmbert.runs.history import read_epochs


def learning_curve(run: Path, metric: str) -> list[tuple[float, float]]:
    """``[(epoch, value), …]`` of a metric from a run's ``history.csv``; nothing where it was not logged.

    Earlier versions filed the chosen checkpoint's own validation under an epoch after the last: it is left out.
    """
    folder = RunFolder(run)
    if not folder.history.is_file():
        return []
    epochs = float((folder.read_metrics() or {}).get("epochs") or math.inf)
    # of an epoch that was measured again after an interruption the last value
    return sorted(
        {epoch + 1.0: value for epoch, value in read_epochs(folder.history, metric) if epoch < epochs}.items()
    )


def pareto_front(costs: Sequence[float], values: Sequence[float], larger_is_better: bool = True) -> list[bool]:
    """Which points no other point beats: none costs at most as much and is at least as good, and differs.

    Args:
        costs: smaller is better.
        values: quality.
        larger_is_better: of the values.
    """
    cost, value = np.asarray(costs, float), np.asarray(values, float) * (1 if larger_is_better else -1)
    front = []
    for c, v in zip(cost, value, strict=True):
        beaten = (cost <= c) & (value >= v) & ((cost < c) | (value > v))
        front.append(not bool(beaten.any()))
    return front


def mean_group_ranks(values: dict[str, dict[int, float]], larger_is_better: bool = True) -> dict[str, float]:
    """The mean rank of each group over the seeds that all have, 1 = best; ties share their ranks' mean.

    Args:
        values: the metric by group and seed.
        larger_is_better: of the metric.
    """
    from scipy.stats import rankdata

    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in values.values()))) if values else []
    if not seeds:
        return {}
    table = np.array([[values[group][seed] for group in values] for seed in seeds])  # (seeds, groups)
    ranks = rankdata(-table if larger_is_better else table, axis=1)
    return dict(zip(values, ranks.mean(0).tolist(), strict=True))
