"""Curves over a threshold or a confidence: ROC, precision-recall, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.training.plots.figure import ACCENT, MUTED, label, new_figure, shorten, square

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: more classes than this have their curves drawn without a name in the legend
NAMED_CURVES = 10


def roc_curves(classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, title: str = "") -> Figure:
    """One class against the rest, thin, and their mean, thick; areas in the legend.

    A class that all samples have, or none, has no curve and does not count for the mean.

    Args:
        classes: C names.
        targets: (N, C) of 0 and 1.
        probabilities: (N, C).
        title: above the picture.
    """
    from sklearn.metrics import auc, roc_curve

    grid = np.linspace(0, 1, 501)
    curves = {}
    for i in judged_classes(targets):
        false, true, _ = roc_curve(targets[:, i], probabilities[:, i])
        curves[classes[i]] = (false, true, float(auc(false, true)))
    figure, axes = new_figure(5.6, 5.2)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    plot_each(axes, curves)
    if curves:
        # where a curve rises upright np.interp gives its upper end, so the first point is added by hand
        mean = np.mean([np.interp(grid, false, true) for false, true, _ in curves.values()], axis=0)
        area = np.mean([area for *_, area in curves.values()])
        axes.plot([0, *grid], [0, *mean], color=ACCENT, linewidth=2.4, label=f"macro mean, AUC {area:.3f}")
    label(axes, "false positive rate", "true positive rate", title)
    legend(axes, curves, "lower right")
    square(axes)
    return figure


def precision_recall_curves(
    classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, title: str = ""
) -> Figure:
    """One curve a property; average precisions in the legend.

    Args:
        classes: C names.
        targets: (N, C) of 0 and 1.
        probabilities: (N, C).
        title: above the picture.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    curves = {}
    for i in judged_classes(targets):
        precision, recall, _ = precision_recall_curve(targets[:, i], probabilities[:, i])
        area = float(average_precision_score(targets[:, i], probabilities[:, i]))
        curves[classes[i]] = (recall, precision, area)
    figure, axes = new_figure(5.6, 5.2)
    plot_each(axes, curves, drawstyle="steps-post")
    mean = np.mean([area for *_, area in curves.values()]) if curves else float("nan")
    label(axes, "recall", "precision", f"{title}\nmean average precision {mean:.3f}".strip())
    legend(axes, curves, "lower left")
    square(axes)
    return figure


def judged_classes(targets: np.ndarray) -> list[int]:
    """Indices of the classes that some samples have and others have not."""
    have = targets.sum(0)
    return [i for i in range(targets.shape[1]) if 0 < have[i] < len(targets)]


def plot_each(axes: Axes, curves: Mapping[str, tuple[Any, Any, float]], **style: Any) -> None:
    """Thin curves: each with a colour and a name while they are few, in one grey when they are many."""
    from matplotlib import colormaps

    named = len(curves) <= NAMED_CURVES
    for i, (name, (x, y, area)) in enumerate(curves.items()):
        look: dict[str, Any] = (
            {"color": colormaps["tab10"](i % 10), "alpha": 0.8} if named else {"color": MUTED, "alpha": 0.45}
        )
        text = f"{shorten(name)}, {area:.3f}" if named else None
        axes.plot(x, y, linewidth=1.1, label=text, **look, **style)


def legend(axes: Axes, curves: Mapping[str, tuple[Any, Any, float]], place: Any) -> None:
    """Names and areas; for many curves their range in one line."""
    if len(curves) > NAMED_CURVES:
        areas = [area for *_, area in curves.values()]
        axes.plot(
            [], [], color=MUTED, linewidth=1.1, label=f"{len(areas)} classes, {min(areas):.3f} to {max(areas):.3f}"
        )
    if curves:
        axes.legend(loc=place, frameon=True, framealpha=0.9, edgecolor="none", fontsize=8)
