"""Pictures of a finished run: confusion matrices, ROC and precision-recall curves, scatter plots, learning curves.

Drawn without a display and outside pyplot, whose global list of open figures grows in a sweep: a figure made here is
gone when nobody holds it any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.training.history import HISTORY_FILE, read_history
from mmbert.training.record import is_rank_zero

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmbert.training.predictions import PredictionTable

Curves = Mapping[str, Sequence[tuple[int, float]]]

INK, MUTED, GRID, ACCENT = "#1f2933", "#9aa5b1", "#e4e7eb", "#1f6feb"
DPI = 130
#: more classes than this have their curves drawn without a name in the legend
NAMED_CURVES = 10
#: more classes than this make a confusion matrix show colours alone
NUMBERED_CLASSES = 20
#: a label is shortened to this many letters
LABEL_LETTERS = 18


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


def write_learning_curves(run_dir: Path, folder: Path) -> dict[str, Figure]:
    """Draws ``history.csv``, if the run has one, as ``learning_curves.png``."""
    if not is_rank_zero() or not (run_dir / HISTORY_FILE).is_file():
        return {}
    figure = learning_curves(read_history(run_dir / HISTORY_FILE))
    if figure is None:
        return {}
    save(figure, folder / "learning_curves.png")
    return {"learning_curves": figure}


def draw(table: PredictionTable, split: str) -> dict[str, Figure]:
    """The figures that suit each task's kind; none for a task without a labelled sample."""
    figures = {}
    for task in table.tasks:
        kind, classes = table.kind(task), table.classes(task)
        if kind == "other":
            continue
        targets, judged = table.labelled(task)
        if not len(targets):
            continue
        name, title = f"{split}/{task}", f"{task} ({split}, {len(targets)} samples)"
        if kind == "classification":
            figures[f"{name}/confusion"] = confusion_matrix(classes, targets, judged.argmax(1), title)
            figures[f"{name}/roc"] = roc_curves(classes, one_hot(targets, len(classes)), judged, title)
        elif kind == "multilabel":
            figures[f"{name}/roc"] = roc_curves(classes, targets, judged, title)
            figures[f"{name}/precision_recall"] = precision_recall_curves(classes, targets, judged, title)
        else:
            figures[f"{name}/scatter"] = regression_scatter(targets, judged, title)
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
    panels = panel_keys(history)
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(3.9 * columns, 2.7 * rows, rows, columns)
    flat = np.atleast_1d(axes).ravel()
    for place, (name, splits) in zip(flat, panels.items(), strict=False):
        for split, colour in (("train", MUTED), ("val", ACCENT)):
            if split in splits:
                steps, values = zip(*history[splits[split]], strict=True)
                dots = {"marker": "o", "markersize": 3} if len(steps) <= 40 else {}
                place.plot(steps, values, color=colour, linewidth=1.6, label=split, **dots)
        label(place, "step", "", name)
        place.grid(color=GRID, linewidth=0.6)
        place.legend(frameon=False, fontsize=8)
    for place in flat[len(panels) :]:
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


def one_hot(targets: np.ndarray, size: int) -> np.ndarray:
    """(N,) class indices -> (N, C) of 0 and 1."""
    return np.eye(size, dtype=np.int64)[targets]


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


def square(axes: Axes) -> None:
    """The unit square, with a little air."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(color=GRID, linewidth=0.6)


def label(axes: Axes, x: str, y: str, title: str) -> None:
    """Names the axes; the title stands left, as in a text."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=INK)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, layout: str = "constrained"
) -> tuple[Figure, Any]:
    """A figure of its own, of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)  # PNG and nothing else: no display is looked for
    axes = figure.subplots(rows, columns)
    for place in np.atleast_1d(axes).ravel():
        place.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """A PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white")


def shorten(name: str) -> str:
    """A long class name, cut."""
    return name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…"
