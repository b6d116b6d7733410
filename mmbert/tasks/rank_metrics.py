"""Metrics of classes that have an order, by their ranks 0 ... C - 1.

MAE        mean of |predicted rank - true rank|
QWK        1 - E (p_i - t_i)² / E (p_i - t_j)², the latter over all pairs i, j: Cohen's kappa with quadratic weights, as
           scikit-learn's ``cohen_kappa_score(labels=all C, weights="quadratic")``; NaN if all labels are of one class
Spearman   rank correlation; NaN if predictions or labels are constant
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmbert.tasks.metrics import Stored, correlation, mean_ranks


class RankStored(Stored):
    """Base: keeps predicted (N,) and true (N,) ranks."""

    def update(self, scores: Tensor, truth: Tensor, predicted: Tensor | None = None) -> None:
        """Adds a batch, which may be empty.

        Args:
            scores: (N, C) probabilities.
            truth: (N,) int64.
            predicted: (N,) int64, where it is not the most probable class.
        """
        super().update(scores.argmax(-1) if predicted is None else predicted, truth)


class RankError(RankStored):
    """Mean absolute error in ranks."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () at least 0."""
        return (scores - truth).abs().cpu().double().mean()


class QuadraticKappa(RankStored):
    """Cohen's kappa with quadratic weights."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () at most 1."""
        p, t = scores.cpu().double(), truth.cpu().double()
        if t.min() == t.max():
            return torch.tensor(math.nan)
        # the mean over all pairs of (p - t)² = E p² - 2 E p E t + E t²
        chance = p.square().mean() - 2 * p.mean() * t.mean() + t.square().mean()
        return 1 - (p - t).square().mean() / chance


class RankCorrelation(RankStored):
    """Spearman's correlation of predicted and true ranks."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () in [-1, 1]."""
        return correlation(mean_ranks(scores.cpu()), mean_ranks(truth.cpu()))
