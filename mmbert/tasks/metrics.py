"""Metrics whose averages leave out what is undefined, where torchmetrics would count a silent 0.

    exact match           NaN if no sample is labelled
    F1                    of several properties: the mean over those that occur among the labels or the predictions
    AUROC                 the mean over the classes that have both a positive and a negative sample
    average precision     the mean over the classes that have a positive sample
    Pearson, Spearman     NaN if predictions or labels are constant;  R²: NaN if the labels are
    MAE, RMSE             NaN if no sample is labelled; of all samples at once in float64, for torchmetrics adds up in
                          float32, where the squares of numbers above 1e19 are infinite

Metrics of predicted classes (accuracy, F1, kappa) are in ``mmbert.tasks.class_counts``, those of probabilities in
``mmbert.tasks.confidence_metrics``.

NaN says *undefined for this split*, never *bad*. Every metric may be updated with an empty batch, so that all
processes of a distributed run can make the same calls whoever has labelled samples.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MultilabelExactMatch, MultilabelF1Score
from torchmetrics.functional.classification import multilabel_auroc, multilabel_average_precision
from torchmetrics.utilities.data import dim_zero_cat

from mmbert.tasks.class_counts import Accuracy as Accuracy  # tasks that mmbert-new-task has written import it here


class Countable(Metric):
    """Mixin over a torchmetrics count: empty batches pass, and without any support the value is NaN."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Adds a batch: preds (N, C) probabilities, target (N,) or (N, C); N may be 0."""
        if len(target):  # torchmetrics cannot reshape an empty batch
            super().update(preds, target)  # type: ignore[safe-super]

    def compute(self) -> Tensor:
        """() float in [0, 1], NaN if nothing was counted."""
        value: Tensor = super().compute()  # type: ignore[safe-super]
        return torch.where(self.support() > 0, value, math.nan)

    def support(self) -> Tensor:
        """() how much has been counted."""
        raise NotImplementedError

    def counted(self, *states: str) -> Tensor:
        """() the sum over the named states."""
        total = torch.zeros((), device=self.device)
        for name in states:
            total = total + getattr(self, name).sum()
        return total


class MultilabelMacroF1(Countable, MultilabelF1Score):
    """Mean F1, at probability 0.5, over the properties that occur among labels or predictions; NaN if none does."""

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, average="macro", validate_args=False)

    def compute(self) -> Tensor:
        """() float in [0, 1]; torchmetrics counts a property that never occurs as 0."""
        hits = 2 * torch.as_tensor(self.tp)  # (C,)
        measured = hits + torch.as_tensor(self.fp) + torch.as_tensor(self.fn)
        return (hits / measured)[measured > 0].mean()  # the mean of nothing is NaN


class ExactMatch(Countable, MultilabelExactMatch):
    """Share of labelled samples with every property right, at probability 0.5; NaN if none is labelled."""

    def __init__(self, num_labels: int) -> None:
        super().__init__(num_labels, validate_args=False)

    def support(self) -> Tensor:
        """() labelled samples."""
        return self.counted("total")


class Stored(Metric):
    """Base of metrics that need all values at once: scores (N, C) or (N,), and truth (N,) or (N, C).

    A subclass implements ``score``. Subclasses share their states within a MetricCollection's compute group.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    scores: list[Tensor]
    truth: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("truth", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, truth: Tensor) -> None:
        """Adds a batch; it may be empty."""
        self.scores.append(scores.detach())
        self.truth.append(truth.detach())

    def compute(self) -> Tensor:
        """() float32, NaN where undefined."""
        if len(self.scores) == 0:  # never updated; after a distributed sync the states are tensors, not lists
            return torch.tensor(math.nan, device=self.device)
        scores, truth = dim_zero_cat(self.scores), dim_zero_cat(self.truth)
        if not len(truth):
            return torch.tensor(math.nan, device=self.device)
        return self.score(scores, truth).to(self.device, torch.float32)

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """All N > 0 samples -> ()."""
        raise NotImplementedError


class MacroAUROC(Stored):
    """Area under the ROC curve, one class against the rest, averaged over the classes for which it is defined."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N,) classes or (N, C) of 0 and 1 -> ()."""
        truth = one_hot(truth, scores.shape[1])
        defined = truth.any(0) & ~truth.all(0)
        return over(defined, scores, truth, multilabel_auroc)


class MacroAveragePrecision(Stored):
    """Mean average precision (mAP) over the classes that have a positive sample."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N,) classes or (N, C) of 0 and 1 -> ()."""
        truth = one_hot(truth, scores.shape[1])
        return over(truth.any(0), scores, truth, multilabel_average_precision)


def samples(count: int, which: str) -> str:
    """``all 12 labelled samples are``, ``the only labelled sample is``: the beginning of a reason."""
    return f"the only {which} sample is" if count == 1 else f"all {count} {which} samples are"


def one_hot(truth: Tensor, num_classes: int) -> Tensor:
    """(N,) classes or (N, C) of 0 and 1 -> (N, C) bool."""
    return truth.bool() if truth.ndim == 2 else F.one_hot(truth, num_classes).bool()


def over(defined: Tensor, scores: Tensor, truth: Tensor, function: Any) -> Tensor:
    """Mean of a per-class score over the classes where ``defined`` (C,) is True; NaN if it is True nowhere."""
    count = int(defined.sum())
    if not count:
        return torch.tensor(math.nan)
    result: Tensor = function(
        scores[:, defined], truth[:, defined].long(), num_labels=count, average="macro", validate_args=False
    )
    return result


class MAE(Stored):
    """Mean absolute error, in float64."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () in their unit."""
        return (scores.cpu().double() - truth.cpu().double()).abs().mean()


class RMSE(Stored):
    """Root mean squared error, in float64."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () in their unit."""
        return (scores.cpu().double() - truth.cpu().double()).square().mean().sqrt()


class Pearson(Stored):
    """Linear correlation of predictions and labels, in float64."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () in [-1, 1]."""
        return correlation(scores.cpu().double(), truth.cpu().double())


class Spearman(Stored):
    """Correlation of the ranks of predictions and labels; equal values share their mean rank."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () in [-1, 1]."""
        return correlation(mean_ranks(scores.cpu()), mean_ranks(truth.cpu()))


class R2(Stored):
    """Share of the labels' variance that the predictions explain; below 0 if the labels' mean would do better."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N,), truth (N,) -> () at most 1."""
        scores, truth = scores.cpu().double(), truth.cpu().double()
        spread = (truth - truth.mean()).square().sum()
        return torch.where(spread > 0, 1 - (truth - scores).square().sum() / spread, math.nan)


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """x (N,), y (N,) float64 -> (), NaN if either is constant."""
    if x.min() == x.max() or y.min() == y.max():
        return torch.tensor(math.nan)
    x, y = x - x.mean(), y - y.mean()
    return ((x * y).sum() / (x.square().sum().sqrt() * y.square().sum().sqrt())).clamp(-1, 1)


def mean_ranks(values: Tensor) -> Tensor:
    """(N,) -> ranks (N,) float64 from 1; equal values share the mean of their ranks."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()  # the highest rank within each group of equal values
    return (last - (counts - 1) / 2)[inverse]
