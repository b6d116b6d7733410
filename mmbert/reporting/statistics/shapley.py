r"""What each modality contributes: exact Shapley values over all subsets.

    φ_i = Σ over S ⊆ N \ {i} of |S|! (n - |S| - 1)! / n! · (v(S ∪ {i}) - v(S))

Shapley 1953, "A value for n-person games". v(S) is the metric of the model that has the modalities S, v(∅) that of a
constant guess. The values sum to v(N) - v(∅); a modality that changes nothing has 0; two that are alike have the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbert.core.errors import DataError
from mmbert.reporting.statistics.hardest import predictions_of_run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Contribution:
    """A modality's Shapley value, over the seeds that have every subset.

    Attributes:
        modality: its name.
        values: by seed.
        full: the metric with all modalities, mean over the seeds.
        empty: the metric of the constant guess.
    """

    modality: str
    values: dict[int, float]
    full: float
    empty: float

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(list(self.values.values())))

    @property
    def std(self) -> float:
        """Over the seeds, n - 1 in the denominator; NaN for one seed."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else math.nan


def shapley_values(worth: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Exact Shapley values.

    Args:
        worth: of every subset, the empty one too.

    Raises:
        ValueError: a subset is missing.
    """
    names = sorted(frozenset().union(*worth))
    subsets = [frozenset(part) for size in range(len(names) + 1) for part in itertools.combinations(names, size)]
    missing = [subset for subset in subsets if subset not in worth]
    if missing:
        raise ValueError(f"the worth of {sorted(missing[0]) or 'nothing'} is not known")
    count = len(names)
    values = dict.fromkeys(names, 0.0)
    for subset in subsets:
        for name in names:
            if name not in subset:
                weight = math.factorial(len(subset)) * math.factorial(count - len(subset) - 1) / math.factorial(count)
                values[name] += weight * (worth[subset | {name}] - worth[subset])
    return values


def contributions(runs: pd.DataFrame, metric: str) -> list[Contribution]:
    """Each modality's contribution, from runs that were trained on the subsets; nothing unless every subset is there.

    Args:
        runs: finished, alike but for modalities and seed, with the columns ``modalities``, ``seed`` and the metric.
        metric: an accuracy or a mean absolute error; of others the constant guess is not known.
    """
    split, _, rest = metric.partition("/")
    task, _, kind = rest.rpartition("/")
    names = sorted({name for label in runs["modalities"].astype(str) for name in label.split("+")})
    wanted = 2 ** len(names) - 1
    by_seed: dict[int, dict[frozenset[str], float]] = {}
    for line in runs.to_dict("records"):
        if line["seed"] == line["seed"] and line["seed"] is not None:
            subset = frozenset(str(line["modalities"]).split("+"))
            by_seed.setdefault(int(line["seed"]), {})[subset] = float(line[metric])
    whole = {seed: worth for seed, worth in by_seed.items() if len(worth) == wanted}
    if len(names) < 2 or not whole or kind not in ("accuracy", "mae"):
        return []
    try:
        empty = constant_guess(Path(runs.iloc[0]["run"]), split, task, kind)
    except DataError:
        return []
    found = {seed: shapley_values({**worth, frozenset(): empty}) for seed, worth in whole.items()}
    full = float(np.mean([worth[frozenset(names)] for worth in whole.values()]))
    return [Contribution(name, {seed: found[seed][name] for seed in sorted(found)}, full, empty) for name in names]


def constant_guess(run: Path, split: str, task: str, kind: str) -> float:
    """The metric of the best constant answer to a split: its most frequent label, or its median.

    Raises:
        DataError: the run left no such predictions.
    """
    table = predictions_of_run(run, split)
    if table is None or f"{task}/target" not in table:
        raise DataError(f"{run} has no predictions of '{task}' on {split}.")
    targets = table[f"{task}/target"].dropna()
    if kind == "mae":
        return float((targets - targets.median()).abs().mean())
    return float(targets.astype(str).value_counts(normalize=True).iloc[0])
