"""Metrics of probabilities: whether they mean what they say, and whether they tell right answers from wrong ones.

    ECE                 expected calibration error, 15 bins of equal width over the confidence (Guo et al. 2017,
                        arXiv:1706.04599; ``mmbert.core.calibration``)
    Brier score         mean over samples of Σ_c (p_c - y_c)², from 0 to 2 (Brier 1950)
    NLL                 mean of -log p of the right class; p counts as 1.2e-38 at least, the smallest normal float32
    top-k accuracy      share of samples whose class is among the k most probable ones
    AURC                area under the risk-coverage curve (``mmbert.core.risk_coverage``)
    coverage, selective accuracy    share of the samples whose confidence reaches a threshold; share of these that are
                        right

Confidence is the probability of the class that is answered. Within a compute group the stored numbers are kept once.

Where a sample may have any of C properties, each is a judgement of its own: NLL and the Brier score, here from 0 to 1,
are means over samples and properties, and the ECE compares the probability of a property with how often it holds.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.calibration import reliability
from mmbert.core.risk_coverage import area_under_risk
from mmbert.tasks.metrics import Stored


class BrierScore(Stored):
    """Mean squared distance of the probabilities from the label's one-hot vector."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N,) -> () in [0, 2]."""
        return (scores - F.one_hot(truth, scores.shape[1])).square().sum(1).mean()


class NegativeLogLikelihood(Stored):
    """Mean negative log-probability of the labels, without class weights and smoothing."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N,) -> () at least 0."""
        right = scores.gather(1, truth.unsqueeze(1))
        return -right.clamp(min=torch.finfo(torch.float32).tiny).log().mean()


class PropertyBrierScore(Stored):
    """Mean squared distance of the properties' probabilities from 0 and 1."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N, C) of 0 and 1 -> () in [0, 1]."""
        return (scores - truth).square().mean()


class PropertyLogLoss(Stored):
    """Mean negative log-probability of what is true of each property, without weights and smoothing."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N, C) of 0 and 1 -> () at least 0."""
        right = torch.where(truth > 0, scores, 1 - scores)
        return -right.clamp(min=torch.finfo(torch.float32).tiny).log().mean()


class PropertyCalibrationError(Stored):
    """Expected calibration error over all properties together."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C) probabilities, truth (N, C) of 0 and 1 -> () in [0, 1]."""
        return calibration_error(scores.flatten(), truth.flatten())


class TopKAccuracy(Stored):
    """Share of samples whose class is among the k most probable ones; of equal ones the first classes come first.

    Args:
        k: below C, or the share is 1.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """scores (N, C), truth (N,) -> () in [0, 1]."""
        own = scores.gather(1, truth.unsqueeze(1))
        earlier = torch.arange(scores.shape[1], device=scores.device) < truth.unsqueeze(1)
        ahead = (scores > own) | ((scores == own) & earlier)
        return (ahead.sum(1) < self.k).float().mean()


class ConfidenceStored(Stored):
    """Base: keeps of each sample its confidence, (N,) float, and whether the answer is right, (N,) bool."""

    def update(self, scores: Tensor, truth: Tensor, predicted: Tensor | None = None) -> None:
        """Adds a batch, which may be empty.

        Args:
            scores: (N, C) probabilities.
            truth: (N,) int64.
            predicted: (N,) int64, where it is not the most probable class.
        """
        predicted = scores.argmax(-1) if predicted is None else predicted
        super().update(scores.gather(1, predicted.unsqueeze(1)).squeeze(1), predicted == truth)


class CalibrationError(ConfidenceStored):
    """Expected calibration error."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Confidence (N,), right (N,) -> () in [0, 1]."""
        return calibration_error(scores, truth)


class RiskCoverageArea(ConfidenceStored):
    """Area under the risk-coverage curve."""

    higher_is_better = False

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Confidence (N,), right (N,) -> () in [0, 1]."""
        return torch.tensor(area_under_risk(scores.cpu().numpy(), truth.cpu().numpy()))


class Coverage(ConfidenceStored):
    """Share of the samples that are answered.

    Args:
        lowest: confidence that an answer must have.
    """

    def __init__(self, lowest: float) -> None:
        super().__init__()
        self.lowest = lowest

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Confidence (N,), right (N,) -> () in [0, 1]."""
        return (scores >= self.lowest).float().mean()


class SelectiveAccuracy(Coverage):
    """Share of the answered samples that are right; NaN if none is answered."""

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """Confidence (N,), right (N,) -> () in [0, 1]."""
        answered = scores >= self.lowest
        return truth[answered].float().mean() if answered.any() else torch.tensor(math.nan)


def calibration_error(probabilities: Tensor, true: Tensor) -> Tensor:
    """(N,) probabilities of something, and whether it is so -> () in [0, 1].

    torchmetrics' own puts a probability of exactly 1 into a bin of its own, the sixteenth.
    """
    return torch.tensor(reliability(probabilities.cpu().numpy(), true.cpu().numpy()).error)
