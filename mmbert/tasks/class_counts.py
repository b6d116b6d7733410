"""Metrics of predicted classes, all of them from the same three counts a class.

With N labelled samples, n_c of class c, m_c predicted as c and r_c of these right:

    accuracy           Σ r_c / N, which is the micro-averaged F1 too
    F1 of a class      2 r_c / (n_c + m_c); macro: the mean over classes that occur among labels or predictions;
                       weighted: the mean weighted by n_c
    balanced accuracy  the mean of the recalls r_c / n_c over classes that occur among the labels
    MCC                (N Σ r_c - Σ n_c m_c) / √((N² - Σ m_c²)(N² - Σ n_c²)), Gorodkin 2004; 0 if one class alone is
                       predicted
    Cohen's kappa      (p_o - p_e) / (1 - p_e), p_o = Σ r_c / N, p_e = Σ n_c m_c / N²

These are scikit-learn's numbers, but for one thing: MCC and kappa of labels that are all of one class have no value.
Within a ``MetricCollection`` the metrics of one compute group count once; no matrix of C × C is kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric


class ClassCounts(Metric):
    """Base: counts of right, of predicted and of labelled samples by class.

    Args:
        num_classes: C.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    counts: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.add_state("counts", torch.zeros(3, num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, truth: Tensor, predicted: Tensor | None = None) -> None:
        """Adds a batch, which may be empty.

        Args:
            scores: (N, C), the largest is predicted.
            truth: (N,) int64 in 0 ... C - 1.
            predicted: (N,) int64, where it is known already.
        """
        predicted = scores.argmax(-1) if predicted is None else predicted
        # a prediction that is wrong counts in a place beyond the classes
        right = torch.where(predicted == truth, truth, self.num_classes)
        places = torch.cat([right, predicted + self.num_classes + 1, truth + 2 * self.num_classes + 1])
        counted = torch.bincount(places, minlength=3 * self.num_classes + 1)
        beyond = self.num_classes
        self.counts = self.counts + torch.cat([counted[:beyond], counted[beyond + 1 :]]).view(3, beyond)

    def compute(self) -> Tensor:
        """() float32, NaN where undefined."""
        counts = self.counts.cpu().double()  # not every device has float64
        value = self.score(*counts) if counts[2].any() else torch.tensor(math.nan)
        return value.to(self.device, torch.float32)

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) float64 each, some truth above 0 -> ()."""
        raise NotImplementedError


class Accuracy(ClassCounts):
    """Share of labelled samples whose most probable class is right (micro average)."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () in [0, 1]."""
        return right.sum() / truth.sum()


class MicroF1(Accuracy):
    """F1 of all classes' counts together; with one class a sample it equals the accuracy."""


class MacroF1(ClassCounts):
    """Mean F1 over the classes that occur among labels or predictions."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () in [0, 1]."""
        there = predicted + truth > 0
        return (2 * right[there] / (predicted + truth)[there]).mean()


class WeightedF1(ClassCounts):
    """Mean F1 over the classes, each weighted by its labelled samples: MELD's and IEMOCAP's usual figure."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () in [0, 1]."""
        f1 = 2 * right / (predicted + truth).clamp(min=1)
        return (f1 * truth).sum() / truth.sum()


class BalancedAccuracy(ClassCounts):
    """Mean recall over the classes that occur among the labels."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () in [0, 1]."""
        there = truth > 0
        return (right[there] / truth[there]).mean()


class MatthewsCorrelation(ClassCounts):
    """Matthews' correlation coefficient of several classes; NaN if all labels are of one class."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () in [-1, 1]."""
        n = truth.sum()
        over_labels = n**2 - (truth**2).sum()
        if not over_labels:
            return torch.tensor(math.nan)
        over_predictions = n**2 - (predicted**2).sum()
        if not over_predictions:
            return torch.zeros(())
        return (n * right.sum() - (truth * predicted).sum()) / (over_labels.sqrt() * over_predictions.sqrt())


class CohenKappa(ClassCounts):
    """Cohen's kappa of labels and predictions; NaN if all labels are of one class."""

    def score(self, right: Tensor, predicted: Tensor, truth: Tensor) -> Tensor:
        """(C,) each -> () at most 1."""
        n = truth.sum()
        if n == truth.max():
            return torch.tensor(math.nan)
        chance = (truth * predicted).sum() / n**2
        return (right.sum() / n - chance) / (1 - chance)
