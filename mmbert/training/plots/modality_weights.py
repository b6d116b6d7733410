"""Pictures of the weight that each modality gets as training goes on: a line a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.runs.modality_weights import curves_over_epochs
from mmbert.training.plots.figure import GRID, label, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_modality_weights(by_epoch: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Figure]:
    """Draws ``val_by_epoch`` of ``diagnostics.json`` and leaves a PNG for each name in it in ``folder``.

    Returns:
        The figures by name, such as ``val/gates/gate``, for the loggers.
    """
    figures = {
        f"val/gates/{name}": draw_modality_weights(lines, name) for name, lines in curves_over_epochs(by_epoch).items()
    }
    for name, figure in figures.items():
        save(figure, folder / f"{name.replace('/', '_')}.png")
    return figures


def draw_modality_weights(lines: Mapping[str, Sequence[tuple[int, float]]], title: str) -> Figure:
    """A line a modality.

    Args:
        lines: by modality ``[(epochs trained, mean over validation), …]``.
        title: above the picture.
    """
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(5.2, 3.4)
    for i, (modality, points) in enumerate(lines.items()):
        epochs, means = zip(*points, strict=True)
        dots = {"marker": "o", "markersize": 3} if len(epochs) <= 40 else {}
        axes.plot(epochs, means, color=colormaps["tab10"](i % 10), linewidth=1.6, label=modality, **dots)
    label(axes, "epoch", "mean over validation", title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color=GRID, linewidth=0.6)
    axes.legend(frameon=False, fontsize=8)
    return figure
