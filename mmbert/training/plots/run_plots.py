"""Pictures of a finished run: confusion matrices, ROC and precision-recall curves, scatter plots, learning curves.

Drawn without a display and outside pyplot, whose global list of open figures grows in a sweep: a figure made here is
gone when nobody holds it any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbert.core.distributed import is_rank_zero
from mmbert.runs.folder import RunFolder
from mmbert.runs.history import read_history
from mmbert.runs.predictions import ARROW_TYPES
from mmbert.training.plots.calibration import reliability_diagram, risk_coverage_curve
from mmbert.training.plots.figure import ACCENT, GRID, INK, MUTED, label, new_figure, save, shorten
from mmbert.training.plots.roc import precision_recall_curves, roc_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.predictions import ARROW_TYPES, PredictionTable

Curves = Mapping[str, Sequence[tuple[int, float]]]

#: more classes than this make a confusion matrix show colours alone
NUMBERED_CLASSES = 20


def write_plots(table: PredictionTable, split: str, folder: Path) -> dict[str, Figure]:
    """Draws every task of a split and leaves the pictures in ``folder`` as PNG files; the first rank alone does.

    Returns:
        The figures by name, such as ``test/answer/confusion``, for the trackers.
    """
    if not is_rank_zero():
        return {}
    figures = draw(table, split)
    for name, figure in figures.items():
        save(figure, folder / f"{name.replace('/', '_')}.png")
    return figures


def write_learning_curves(run: RunFolder, hidden: Collection[str] = ()) -> dict[str, Figure]:
    """Draws the run's history, if there is one, as ``learning_curves.png`` among its plots.

    Args:
        run: the run's folder.
        hidden: ``TASK/METRIC`` without a panel.
    """
    if not is_rank_zero() or not run.history.is_file():
        return {}
    history = read_history(run.history)
    shown = {key: curve for key, curve in history.items() if key.partition("/")[2] not in hidden}
    figure = learning_curves(shown)
    if figure is None:
        return {}
    save(figure, run.plots / "learning_curves.png")
    return {"learning_curves": figure}


def draw(table: PredictionTable, split: str) -> dict[str, Figure]:
    """The figures that suit each task's kind; none for a task without a labelled sample."""
    figures = {}
    for task in table.tasks:
        kind, classes = table.kind(task), table.classes(task)
        if kind not in ARROW_TYPES:  # their predictions are no numbers
            continue
        targets, scores = table.labelled(task)
        if not len(targets):
            continue
        name, title = f"{split}/{task}", f"{task} ({split}, {len(targets)} samples)"
        if kind == "classification":
            answers = table.predicted_classes(task)
            figures[f"{name}/confusion"] = confusion_matrix(classes, targets, answers, title)
            which = one_hot_targets(targets, len(classes))
            figures[f"{name}/roc"] = roc_curves(classes, which, scores, title)
            figures[f"{name}/precision_recall"] = precision_recall_curves(classes, which, scores, title)
            figures[f"{name}/reliability"] = reliability_diagram(targets, scores, title, answers)
            figures[f"{name}/risk_coverage"] = risk_coverage_curve(targets, scores, title, answers)
        elif kind == "multilabel":
            figures[f"{name}/roc"] = roc_curves(classes, targets, scores, title)
            figures[f"{name}/precision_recall"] = precision_recall_curves(classes, targets, scores, title)
            figures[f"{name}/reliability"] = reliability_diagram(targets, scores, title)
        else:
            figures[f"{name}/scatter"] = regression_scatter(targets, scores, title)
    return figures


def confusion_matrix(
    classes: Sequence[str],
    targets: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    title: str = "",
) -> Figure:
    """Rows are the truth, columns the predictions; colour is the share of the row, numbers are counts.

    Args:
        classes: C names.
        targets: (N,) class indices.
        predictions: (N,) class indices.
        title: above the picture.
    """
    from matplotlib.colors import PowerNorm

    counts = count_pairs(targets, predictions, len(classes))
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    size = float(np.clip(2.8 + 0.19 * len(classes), 4.2, 14))
    figure, axes = new_figure(size + 0.6, size, layout="compressed")
    # the square root lets rare confusions be seen beside the diagonal
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, fraction=0.03, aspect=35, pad=0.03, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label("share of the true class", color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    names = [shorten(name) for name in classes]
    font = float(np.clip(11 - 0.12 * len(classes), 5.5, 9))
    letters = 0.7 * size * 72 / len(classes) / (0.62 * font)  # that fit beneath a column
    upright = max(map(len, names)) > letters
    axes.set_xticks(range(len(classes)), names, rotation=90 if upright else 0, fontsize=font)
    axes.set_yticks(range(len(classes)), names, fontsize=font)
    between = np.arange(1, len(classes)) - 0.5
    axes.hlines(between, -0.5, len(classes) - 0.5, color=GRID, linewidth=0.6)
    axes.vlines(between, -0.5, len(classes) - 0.5, color=GRID, linewidth=0.6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(classes) <= NUMBERED_CLASSES:
        for i, j in zip(*np.nonzero(counts), strict=True):
            shade = "white" if shares[i, j] > 0.35 else INK
            axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=shade, fontsize=font)
    accuracy = counts.trace() / max(counts.sum(), 1)
    label(axes, "predicted", "true", f"{title}\naccuracy {accuracy:.3f}".strip())
    return figure


def regression_scatter(targets: np.ndarray, predictions: np.ndarray, title: str = "") -> Figure:
    """Truth against prediction, with the line on which both are equal.

    Args:
        targets: (N,) numbers.
        predictions: (N,) numbers.
        title: above the picture.
    """
    figure, axes = new_figure(5.2, 5.2)
    both = np.concatenate([targets, predictions])
    low, high = float(both.min()), float(both.max())
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=MUTED, linewidth=1, linestyle=":")
    alpha = float(np.clip(60 / max(len(targets), 1), 0.12, 0.8))
    axes.scatter(targets, predictions, s=16, color=ACCENT, alpha=alpha, linewidths=0)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    error = predictions - targets
    facts = f"mean absolute error {np.abs(error).mean():.3g}, root mean square {np.sqrt((error**2).mean()):.3g}"
    label(axes, "true", "predicted", f"{title}\n{facts}".strip())
    axes.grid(color=GRID, linewidth=0.6)
    return figure


def learning_curves(history: Curves) -> Figure | None:
    """Each metric over the steps of training, training and validation in one panel; None if there is none.

    Args:
        history: ``{"val/loss": [(step, value), …]}``.
    """
    decision_heads = panel_keys(history)
    if not decision_heads:
        return None
    columns = min(3, len(decision_heads))
    rows = -(-len(decision_heads) // columns)
    figure, axes = new_figure(3.9 * columns, 2.7 * rows, rows, columns)
    flat = np.atleast_1d(axes).ravel()
    for place, (name, splits) in zip(flat, decision_heads.items(), strict=False):
        for split, colour in (("train", MUTED), ("val", ACCENT)):
            if split in splits:
                steps, values = zip(*history[splits[split]], strict=True)
                dots = {"marker": "o", "markersize": 3} if len(steps) <= 40 else {}
                place.plot(steps, values, color=colour, linewidth=1.6, label=split, **dots)
        label(place, "step", "", name)
        place.grid(color=GRID, linewidth=0.6)
        place.legend(frameon=False, fontsize=8)
    for place in flat[len(decision_heads) :]:
        place.set_visible(False)
    return figure


def panel_keys(history: Curves) -> dict[str, dict[str, str]]:
    """``{"answer/accuracy": {"val": "val/answer/accuracy"}}``: what validation measures, the loss first."""
    found: dict[str, dict[str, str]] = {}
    for key in history:
        if key.startswith("val/"):
            found[key.removeprefix("val/")] = {"val": key}
    for key in history:
        split, _, name = key.partition("/")
        name = name.removesuffix("_epoch").removesuffix("_step")
        if split == "train" and name in found:
            found[name].setdefault("train", key)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "loss", item[0])))


def count_pairs(targets: Sequence[int] | np.ndarray, predictions: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """(size, size) int64: how often a class of the row was taken for that of the column."""
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (np.asarray(targets), np.asarray(predictions)), 1)
    return counts


def one_hot_targets(targets: np.ndarray, size: int) -> np.ndarray:
    """(N,) class indices -> (N, C) of 0 and 1."""
    return np.eye(size, dtype=np.int64)[targets]
