"""How well scores tell members from others: the ROC curve at small false positive rates, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: False positive rates at which the true positive rate is told.
FALSE_POSITIVE_RATES = (0.001, 0.01)


@dataclass(frozen=True)
class Roc:
    """A curve from (0, 0) to (1, 1): a point for each threshold that parts the scores.

    Attributes:
        fpr: (T,) false positive rates, never falling.
        tpr: (T,) true positive rates, never falling.
    """

    fpr: np.ndarray
    tpr: np.ndarray

    def tpr_at(self, level: float) -> float:
        """The largest true positive rate of which the false one is at most ``level``; nothing is interpolated."""
        within = self.fpr <= level * (1 + 1e-9)  # 3 / 1000 must count as 0.003
        return float(self.tpr[within].max())

    @property
    def auc(self) -> float:
        """Area under the curve by trapezoids: ties count half."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def balanced_accuracy(self) -> float:
        """The largest 1 - (FPR + 1 - TPR) / 2 of all thresholds, as in Carlini et al. (2022)."""
        return float((0.5 + (self.tpr - self.fpr) / 2).max())

    def measures(self) -> dict[str, float]:
        """All of them by name."""
        found = {tpr_name(level): self.tpr_at(level) for level in FALSE_POSITIVE_RATES}
        return {**found, "auc": self.auc, "balanced_accuracy": self.balanced_accuracy}


class SortedScores:
    """Scores of pairs of a model and a sample, sorted once, so that resamples of either are quick to measure.

    Args:
        scores: (K, N) float, without NaN.
        member: (K, N) bool; both kinds occur.
    """

    def __init__(self, scores: np.ndarray, member: np.ndarray) -> None:
        self.shape = scores.shape
        flat = -scores.ravel()
        self.order = np.argsort(flat, kind="stable")
        self.models, self.samples = np.divmod(self.order, scores.shape[1])
        self.member = member.ravel()[self.order]
        ordered = flat[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # equal scores fall together

    @property
    def non_members(self) -> int:
        """Pairs in which the model was not trained on the sample."""
        return int((~self.member).sum())

    def roc(self, model_weights: np.ndarray | None = None, sample_weights: np.ndarray | None = None) -> Roc:
        """The curve over all pairs.

        Args:
            model_weights: (K,) how often each model counts; None = once.
            sample_weights: (N,) how often each sample counts; None = once.
        """
        weights = np.ones(len(self.order))
        if model_weights is not None:
            weights *= model_weights[self.models]
        if sample_weights is not None:
            weights *= sample_weights[self.samples]
        positive = np.cumsum(np.where(self.member, weights, 0.0))[self.ends]
        negative = np.cumsum(np.where(self.member, 0.0, weights))[self.ends]
        return Roc(np.append(0.0, negative / negative[-1]), np.append(0.0, positive / positive[-1]))


def attack_measures(scores: np.ndarray, member: np.ndarray, bootstraps: int, seed: int) -> dict[str, dict[str, Any]]:
    """Each measure with its 95 % interval: ``{name: {"value": …, "low": …, "high": …}}``.

    Intervals are percentiles over resamples of both the attacked models and the samples (the pigeonhole bootstrap of
    Owen 2007, arXiv:0711.0165, which errs on the side of wide intervals): pairs that share either are not independent.
    A rate that so few non-members cannot show has value None and says ``why``.

    Args:
        scores: (K, N).
        member: (K, N) bool.
        bootstraps: number of resamples; 0 = no intervals.
        seed: of them.
    """
    kept = SortedScores(scores, member)
    values = kept.roc().measures()
    rng = np.random.default_rng(seed)
    models, samples = kept.shape
    draws: list[dict[str, float]] = []
    for _ in range(bootstraps):
        of_models = rng.multinomial(models, np.full(models, 1 / models)).astype(float)
        of_samples = rng.multinomial(samples, np.full(samples, 1 / samples)).astype(float)
        draws.append(kept.roc(of_models, of_samples).measures())
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        ends = np.percentile([draw[name] for draw in draws], [2.5, 97.5]).tolist() if draws else [None, None]
        found[name] = {"value": value, "low": ends[0], "high": ends[1]}
    for level in FALSE_POSITIVE_RATES:
        if why := unresolvable(level, kept.non_members):
            found[tpr_name(level)] = {"value": None, "low": None, "high": None, "why": why}
    return found


def unresolvable(level: float, non_members: int) -> str | None:
    """Why a false positive rate cannot be shown; None if it can."""
    if non_members * level >= 1 - 1e-9:
        return None
    needed = round(1 / level)
    return f"{100 * level:g} % of {non_members:,} non-members is less than one: at least {needed:,} are needed"


def tpr_name(level: float) -> str:
    """``tpr_at_fpr_0.001``."""
    return f"tpr_at_fpr_{level:g}"
