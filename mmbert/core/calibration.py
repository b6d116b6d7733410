"""The arithmetic of calibration: confidences gathered into bins, and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Samples gathered into bins of equal width over their confidence (Guo et al. 2017, arXiv 1706.04599).

    Attributes:
        edges: (bins + 1,); a bin holds confidences above its lower edge up to its upper edge, the first one 0 too.
        counts: (bins,) samples in each.
        confidence: (bins,) their mean confidence, NaN where there are none.
        accuracy: (bins,) the share of them that came true, NaN where there are none.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """ECE = sum over bins of (share of samples) * |accuracy - confidence|."""
        full = self.counts > 0
        gaps = np.abs(self.accuracy[full] - self.confidence[full])
        return float((self.counts[full] * gaps).sum() / self.counts.sum())


def reliability(confidence: np.ndarray, true: np.ndarray, bins: int = BINS) -> Reliability:
    """Gathers judgements by their confidence.

    Args:
        confidence: (N,) in [0, 1]: the probability of the predicted class, or of a property.
        true: (N,) of 0 and 1: whether it is so.
        bins: how many.
    """
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        mean = np.bincount(which, confidence, bins) / counts
        share = np.bincount(which, true, bins) / counts
    return Reliability(edges, counts, mean, share)


def judgements(
    targets: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and whether they came true.

    Args:
        targets: (N,) class indices, or (N, C) of 0 and 1 where a sample may have several properties.
        probabilities: (N, C).
        predicted: (N,) class indices, where they need not be the most probable ones.

    Returns:
        Of classes, (N,) probability of the predicted one and whether it is right; of properties, (N * C,) the
        probability of each and whether the sample has it.
    """
    if targets.ndim == 2:
        return probabilities.ravel(), targets.ravel()
    predicted = probabilities.argmax(1) if predicted is None else predicted
    return probabilities[np.arange(len(targets)), predicted], (predicted == targets).astype(np.int64)
