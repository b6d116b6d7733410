"""Whether probabilities mean what they say: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmbert.training.figures import ACCENT, GRID, INK, MUTED, label, new_figure, square

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def judgements(targets: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and whether they came true.

    Args:
        targets: (N,) class indices, or (N, C) of 0 and 1 where a sample may have several properties.
        probabilities: (N, C).

    Returns:
        Of classes, (N,) probability of the predicted one and whether it is right; of properties, (N * C,) the
        probability of each and whether the sample has it.
    """
    if targets.ndim == 2:
        return probabilities.ravel(), targets.ravel()
    predicted = probabilities.argmax(1)
    return probabilities[np.arange(len(targets)), predicted], (predicted == targets).astype(np.int64)


def reliability_diagram(targets: np.ndarray, probabilities: np.ndarray, title: str = "") -> Figure:
    """How often answers of each confidence are right; on the dotted line probabilities mean what they say.

    Args:
        targets: (N,) class indices, or (N, C) of 0 and 1.
        probabilities: (N, C).
        title: above the picture.
    """
    found = reliability(*judgements(targets, probabilities))
    figure, axes = new_figure(5.6, 5.2)
    width = found.edges[1]
    shares = found.counts / found.counts.sum()
    axes.bar(found.edges[:-1], shares, width, align="edge", color=GRID, label="share of the answers")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    full = found.counts > 0
    axes.plot(found.confidence[full], found.accuracy[full], color=ACCENT, marker="o", markersize=4, label="came true")
    axes.vlines(
        found.confidence[full], found.confidence[full], found.accuracy[full], color=INK, linewidth=0.8, alpha=0.5
    )
    said = "probability of the answer" if targets.ndim == 1 else "probability of the property"
    label(axes, said, "share that came true", f"{title}\nexpected calibration error {found.error:.3f}".strip())
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    square(axes)
    axes.grid(visible=False)
    return figure
