"""What each modality contributes to what a model answers, and to its metric: exact Shapley values over all subsets.

The share of a modality is that of MM-SHAP (Parcalabescu and Frank 2023, "MM-SHAP: A Performance-agnostic Metric for
Measuring Multimodal Contributions in Vision and Language Models & Tasks", arXiv:2212.08158): |φ| of the modality over
Σ|φ| of all, of each sample, then the mean over samples. It differs from the paper: there the players are tokens and
patches, whose |φ|, estimated from random subsets of masked tokens, are summed within each modality, so that what raises
and what lowers the output within one modality do not cancel; here the players are the modalities as a whole, all 2^M
subsets are measured, and a modality is absent as it is in samples that lack it.

Intervals: 95 %, percentiles of the bootstrap over samples; the model is one and the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmbert.analysis.cooperative_game import interactions_of_subsets, shapley_of_subsets, shares_of_values
from mmbert.analysis.retrieval_game import RetrievalReader
from mmbert.analysis.subset_outputs import read_subsets
from mmbert.analysis.task_games import EXPLAINED, AnswerReader, Game, LabelReader, explainable
from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.types import Batch
from mmbert.model import MultimodalModel
from mmbert.tasks.retrieval import Retrieval

#: Of more modalities all subsets are too many.
MOST_PLAYERS = 10
#: In parts of 1.
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Explanation:
    """What was found of one split.

    Attributes:
        modalities: M names.
        rows: (N,) rows of the table.
        present: (N, M) bool, which modalities each sample has.
        games: by task.
        bootstraps: number of resamples.
        seed: of their draws.
        skipped: rows that could not be read, and why.
    """

    modalities: list[str]
    rows: np.ndarray
    present: np.ndarray
    games: dict[str, Game]
    bootstraps: int
    seed: int
    skipped: dict[int, str]


def explain_tasks(
    model: MultimodalModel,
    batches: Iterable[Batch],
    tasks: Sequence[str],
    device: torch.device,
    bootstraps: int = 1000,
    seed: int = 0,
) -> Explanation:
    """Measures a model with every subset of its modalities.

    Args:
        model: any; it is moved to the device and set to evaluation.
        batches: of a split, bound to the model.
        tasks: names of those that are explained.
        device: to compute on.
        bootstraps: number of resamples for the intervals.
        seed: of their draws.

    Raises:
        DataError: there is no sample.
    """
    dims = list(model.fusion.dims)
    readers: dict[str, Any] = {}
    for name in tasks:
        task = model.named_tasks()[name]
        if task.kind in EXPLAINED:
            readers[name] = AnswerReader(name, task, len(dims))
        elif isinstance(task, Retrieval):
            readers[name] = RetrievalReader(name, task, len(dims))
        else:
            readers[name] = LabelReader(name, task, dims)
    rows, present, skipped = read_subsets(model.to(device).eval(), batches, readers, device)
    if not len(rows):
        raise DataError("There is no sample to explain: every row of the split was left out.")
    with torch.inference_mode():
        games = {name: reader.game(len(rows)) for name, reader in readers.items()}
    return Explanation(dims, rows, present, games, bootstraps, seed, skipped)


def chosen_tasks(model: MultimodalModel, wanted: Sequence[str]) -> list[str]:
    """The tasks that are explained: those that are named, else all that can be.

    Raises:
        ConfigError: there is no such task, one cannot be explained, or the modalities are too few or too many.
    """
    tasks, players = model.named_tasks(), len(model.fusion.dims)
    if players < 2:
        raise ConfigError(
            f"The model has one modality, {next(iter(model.fusion.dims))}: there is nothing to share out."
        )
    if players > MOST_PLAYERS:
        raise ConfigError(
            f"The model has {players} modalities, so {2**players:,} subsets; up to {MOST_PLAYERS} are explained."
        )
    for name in wanted:
        if name not in tasks:
            raise ConfigError(f"task={name}: the model has no such task. {nearest(name, tasks)}")
        if not explainable(tasks[name]):
            raise ConfigError(
                f"task={name}: it is of the kind {tasks[name].kind}, which has no number of one sample's answer "
                "(target_score) that could be shared out to the modalities."
            )
    found = list(dict.fromkeys(wanted)) or [name for name, task in tasks.items() if explainable(task)]
    if not found:
        kinds = ", ".join(f"{name}: {task.kind}" for name, task in tasks.items())
        raise ConfigError(
            f"None of the model's tasks ({kinds}) has a number of one sample's answer (target_score) that "
            "could be shared out to the modalities."
        )
    return found


def explanation_summary(found: Explanation) -> dict[str, Any]:
    """What is written as JSON: for each task its output's game and its metric's."""
    return {
        "modalities": found.modalities,
        "samples": len(found.rows),
        "present": dict(zip(found.modalities, found.present.sum(0).tolist(), strict=True)),
        "bootstraps": found.bootstraps,
        "seed": found.seed,
        "tasks": {
            name: {"output": output_summary(found, game), "metric": metric_summary(found, game)}
            for name, game in found.games.items()
        },
    }


def output_summary(found: Explanation, game: Game) -> dict[str, Any]:
    """Means over samples, with intervals: of shares, Shapley values, their sizes, and interactions.

    ``share`` counts a modality that a sample lacks as 0, so that shares sum to 1. ``share_where_present`` is over the
    samples that have the modality and another one.
    """
    known = ~np.isnan(game.worth).any(1)
    worth, present = game.worth[known], found.present[known]
    if not len(worth):
        return {"explained": game.explained, "samples": 0}
    values, shares = shapley_of_subsets(worth), shares_of_values(shapley_of_subsets(worth), worth)
    several = present & (present.sum(1, keepdims=True) > 1)
    pairs = list(itertools.combinations(range(len(found.modalities)), 2))
    between = interactions_of_subsets(worth)
    joint = np.stack([between[:, i, j] for i, j in pairs], 1)
    statistics = {
        "share": shares,
        "share_where_present": np.where(several, shares, np.nan),
        "value": values,
        "size": np.abs(values),
        "interaction": joint,
        "interaction_size": np.abs(joint),
    }
    made = {key: means_with_intervals(each, found.bootstraps, found.seed) for key, each in statistics.items()}
    keys = ("share", "share_where_present", "value", "size")
    return {
        "explained": game.explained,
        "samples": len(worth),
        "without_share": int(np.isnan(shares[:, 0]).sum()),
        "mean_output": float(worth[:, -1].mean()),
        "mean_without_any": float(worth[:, 0].mean()),
        "modalities": {name: {key: made[key][place] for key in keys} for place, name in enumerate(found.modalities)},
        "interactions": [
            {
                "modalities": [found.modalities[i], found.modalities[j]],
                "value": made["interaction"][place],
                "size": made["interaction_size"][place],
            }
            for place, (i, j) in enumerate(pairs)
        ],
    }


def metric_summary(found: Explanation, game: Game) -> dict[str, Any]:
    """The game of the metric; a ``value`` above 0 is a gain, also where less of the metric is better."""
    if game.metric_worth is None:
        return {"metric": None, "why": game.why}
    whole, sign = game.metric_worth, 1 if game.higher_is_better else -1
    drawn = resampled_worth(game, len(found.rows), found.bootstraps, found.seed)
    pairs = list(itertools.combinations(range(len(found.modalities)), 2))

    def with_interval(of: Any) -> list[dict[str, Any]]:
        point, spread = of(sign * whole), None if drawn is None else of(sign * drawn)
        return [interval_of(value, None if spread is None else spread[:, i]) for i, value in enumerate(point)]

    values = with_interval(shapley_of_subsets)
    shares = with_interval(lambda worth: shares_of_values(shapley_of_subsets(worth), worth))
    joint = with_interval(lambda worth: np.stack([interactions_of_subsets(worth)[..., i, j] for i, j in pairs], -1))
    return {
        "metric": game.metric,
        "higher_is_better": game.higher_is_better,
        "why_no_interval": game.why or None,
        "subsets": [
            {"modalities": [name for i, name in enumerate(found.modalities) if number >> i & 1], "value": float(value)}
            for number, value in enumerate(whole)
        ],
        "modalities": {name: {"value": values[i], "share": shares[i]} for i, name in enumerate(found.modalities)},
        "interactions": [
            {"modalities": [found.modalities[i], found.modalities[j]], "value": joint[place]}
            for place, (i, j) in enumerate(pairs)
        ],
    }


def resampled_worth(game: Game, count: int, bootstraps: int, seed: int) -> np.ndarray | None:
    """(bootstraps, 2^M) the metric of samples drawn with replacement; None where that is not known."""
    if game.resampled is None or not bootstraps:
        return None
    draws = np.random.default_rng(seed)
    with torch.inference_mode():
        return np.stack([game.resampled(draws.integers(count, size=count)) for _ in range(bootstraps)])


def means_with_intervals(values: np.ndarray, bootstraps: int, seed: int) -> list[dict[str, Any]]:
    """(N, K) -> for each of K the mean over its numbers that are no NaN, with the bootstrap's interval."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    draws = np.random.default_rng(seed)
    spread = np.full((bootstraps, values.shape[1]), np.nan)
    for place in range(bootstraps):
        times = np.bincount(draws.integers(len(values), size=len(values)), minlength=len(values)).astype(np.float64)
        counts = times @ known
        spread[place] = np.where(counts > 0, times @ filled / np.where(counts > 0, counts, 1), np.nan)
    counts = known.sum(0)
    means = np.where(counts > 0, filled.sum(0) / np.where(counts > 0, counts, 1), np.nan)
    return [interval_of(mean, spread[:, i]) | {"samples": int(counts[i])} for i, mean in enumerate(means)]


def interval_of(value: float, spread: np.ndarray | None) -> dict[str, Any]:
    """A number with its interval; None where there is none."""
    known = np.zeros(0) if spread is None else spread[~np.isnan(spread)]
    low, high = np.quantile(known, INTERVAL) if len(known) else (np.nan, np.nan)
    return {"value": number_or_none(value), "low": number_or_none(low), "high": number_or_none(high)}


def number_or_none(value: float) -> float | None:
    """None for NaN."""
    return None if np.isnan(value) else float(value)
