"""Learning curves of runs, and what quality costs."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmbert.reporting.collect import read_json


def learning_curve(run: Path, metric: str) -> list[tuple[float, float]]:
    """``[(epoch, value), …]`` of a metric from a run's ``history.csv``; nothing where it was not logged.

    Behind the last epoch stands what the chosen checkpoint was measured to have: it belongs to no epoch.
    """
    path = run / "history.csv"
    if not path.is_file():
        return []
    epochs = float((read_json(run / "metrics.json") or {}).get("epochs") or math.inf)
    points: dict[float, float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row.get(metric) and row.get("epoch") and float(row["epoch"]) < epochs:
                points[float(row["epoch"]) + 1] = float(row[metric])  # measured again after a kill: the last counts
    return sorted(points.items())


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


def mean_ranks(values: dict[str, dict[int, float]], larger_is_better: bool = True) -> dict[str, float]:
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
