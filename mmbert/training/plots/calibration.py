"""What confidence is worth: reliability diagrams with the calibration error, and risk-coverage curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmbert.core.calibration import judgements, reliability
from mmbert.core.risk_coverage import risk_coverage
from mmbert.training.plots.figure import ACCENT, GRID, INK, MUTED, label, new_figure, square

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagram(
    targets: np.ndarray, probabilities: np.ndarray, title: str = "", predicted: np.ndarray | None = None
) -> Figure:
    """How often answers of each confidence are right; on the dotted line probabilities mean what they say.

    Args:
        targets: (N,) class indices, or (N, C) of 0 and 1.
        probabilities: (N, C).
        title: above the picture.
        predicted: (N,) class indices, where they need not be the most probable ones.
    """
    found = reliability(*judgements(targets, probabilities, predicted))
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
    meaning = "probability of the answer" if targets.ndim == 1 else "probability of the property"
    label(axes, meaning, "share that came true", f"{title}\nexpected calibration error {found.error:.3f}".strip())
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    square(axes)
    axes.grid(visible=False)
    return figure


def risk_coverage_curve(
    targets: np.ndarray, probabilities: np.ndarray, title: str = "", predicted: np.ndarray | None = None
) -> Figure:
    """The share of errors among the surest answers, over how many of the samples are answered.

    Args:
        targets: (N,) class indices.
        probabilities: (N, C).
        title: above the picture.
        predicted: (N,) class indices, where they need not be the most probable ones.
    """
    coverage, risk, _ = risk_coverage(*judgements(targets, probabilities, predicted))
    figure, axes = new_figure(5.6, 4.2)
    axes.axhline(risk[-1], color=MUTED, linewidth=1, linestyle=":", label="all answered")
    axes.plot(coverage, risk, color=ACCENT, linewidth=1.6, label="the surest answered")
    label(axes, "coverage", "share of errors", f"{title}\narea under the curve (AURC) {risk.mean():.3f}".strip())
    axes.set(xlim=(0, 1.02), ylim=(0, None))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.grid(color=GRID, linewidth=0.6)
    return figure
