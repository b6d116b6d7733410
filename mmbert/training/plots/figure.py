"""What all pictures of a run share: figures without a display, colours, labels, files."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.core.shown_text import printable
from mmbert.core.whole_files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, ACCENT = "#1f2933", "#9aa5b1", "#e4e7eb", "#1f6feb"
DPI = 130
#: Fonts with Chinese, Japanese and Korean letters, as Linux, Windows and macOS have them.
WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Heiti TC", "Arial Unicode MS"),
)
#: a label is shortened to this many letters
LABEL_LETTERS = 18


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


def label(axes: Axes, x: str, y: str, title: str) -> None:
    """Names the axes; the title stands left, as in a text."""
    axes.set_xlabel(plot_text(x), color=INK)
    axes.set_ylabel(plot_text(y), color=INK)
    axes.set_title(plot_text(title), loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=INK)


def square(axes: Axes) -> None:
    """The unit square, with a little air."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.grid(color=GRID, linewidth=0.6)


def save(figure: Figure, path: Path) -> None:
    """A PNG file.

    Letters that matplotlib's own font lacks are taken from an installed font; where none has them, boxes stand there.
    """
    from matplotlib.text import Text

    families = ["sans-serif", *fallback_fonts()]
    for text in figure.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily(families)
    with whole_file(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)  # one for each letter
        figure.savefig(temporary, dpi=DPI, facecolor="white", format="png")


@functools.cache
def fallback_fonts() -> tuple[str, ...]:
    """Which of the usual fonts for Chinese, Japanese and Korean are installed."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return tuple(name for name in WIDE_FONTS if name in installed)


def shorten(name: str) -> str:
    """A long class name, cut, as a plot shows it."""
    return plot_text(name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…")


def plot_text(text: str) -> str:
    """Text in which matplotlib finds no formula: ``$`` begins one, and a broken formula is an error."""
    return printable(text).replace("\\$", "$").replace("$", "\\$")
