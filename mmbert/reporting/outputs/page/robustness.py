"""The page's part on missing and damaged modalities: curves over levels, subsets, areas."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mmbert.reporting.outputs.page.figures import COLOURS, Figure, template_text
from mmbert.reporting.outputs.page.html import Cell, Page
from mmbert.reporting.outputs.robustness_tables import (
    LEVEL_NAMES,
    TITLES,
    TextTable,
    area_table,
    curve_table,
    subset_table,
)
from mmbert.reporting.statistics.robustness import Curve, RobustnessResults, Subset

if TYPE_CHECKING:
    from mmbert.reporting.report import RunsReport


def robustness_section(made: Page, report: RunsReport) -> list[str]:
    """Each kind of curves with its table, then subsets and areas."""
    found = report.robustness
    parts = []
    for kind in ("trained", "missing", "noise"):
        curves = found.trained if kind == "trained" else [curve for curve in found.curves if curve.kind == kind]
        if curves:
            parts.append(curve_part(made, curves, kind, report.metric))
    if found.subsets:
        plot = made.plot(subsets_figure(found.subsets, report.metric), "Each subset at test, means and std over seeds")
        parts.append(f'<h3>Subsets at test</h3><div class="plots">{plot}</div>')
        parts.append(text_table(made, subset_table(found, report.metric), 1))
    if found.areas:
        parts.append("<h3>Areas</h3>" + areas_table(made, found, report.metric))
    return parts


def curve_part(made: Page, curves: Sequence[Curve], kind: str, metric: str) -> str:
    """A plot for each modality or mechanism, and all numbers."""
    plots = ""
    for what in dict.fromkeys(curve.what for curve in curves):
        mine = [curve for curve in curves if curve.what == what]
        where = "damaged" if kind == "noise" else "in training" if kind == "trained" else "at test"
        plots += made.plot(levels_figure(mine, LEVEL_NAMES[kind], metric), f"{what} {where}, means and std over seeds")
    shown = text_table(made, curve_table(curves, kind, metric), 2)
    return f'<h3>{escape(TITLES[kind])}</h3><div class="plots">{plots}</div>{shown}'


def areas_table(made: Page, found: RobustnessResults, metric: str) -> str:
    """The table of areas, which may be sorted by their means."""
    shown = area_table(found, metric)
    rows = []
    for one, texts in zip(found.areas, shown.rows, strict=True):
        cells = [Cell(text) for text in texts]
        cells[2] = Cell(texts[2], len(one.relative))
        for place, values in ((3, one.relative), (5, one.effective)):
            if values:
                cells[place] = Cell(texts[place], statistics.fmean(values.values()))
        rows.append(cells)
    return f'{made.table(shown.head, rows, 2)}<p class="soft">{escape(shown.note)}</p>'


def text_table(made: Page, shown: TextTable, words: int) -> str:
    """A table of text as the page has it; numbers are sorted by what they begin with."""
    rows = [[Cell(text, None if n < words else leading(text)) for n, text in enumerate(row)] for row in shown.rows]
    note = f'<p class="soft">{escape(shown.note)}</p>' if shown.note else ""
    return made.table(shown.head, rows, words) + note


def leading(text: str) -> float | None:
    """The number that a cell begins with."""
    try:
        return float(text.partition(" ")[0].replace(",", ""))
    except ValueError:
        return None


def levels_figure(curves: Sequence[Curve], levels: str, metric: str) -> Figure:
    """A line a group through the means, with the seeds' deviation."""
    traces = []
    for number, curve in enumerate(curves):
        there = curve.levels()
        values = [curve.at(level) for level in there]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": there,
                "y": [statistics.fmean(part) for part in values],
                "error_y": {"type": "data", "array": [deviation(part) for part in values], "thickness": 1},
                "name": curve.group or curve.what,
                "line": {"color": COLOURS[number % len(COLOURS)], "width": 1.8},
                "marker": {"size": 6},
                "hovertemplate": f"{template_text(curve.group)}<br>%{{x}}: %{{y:.4f}}<extra></extra>",
            }
        )
    return {"data": traces, "layout": {"xaxis": {"title": {"text": levels}}, "yaxis": {"title": {"text": metric}}}}


def subsets_figure(subsets: Sequence[Subset], metric: str) -> Figure:
    """A bar a subset and group."""
    traces = []
    for number, group in enumerate(dict.fromkeys(one.group for one in subsets)):
        mine = [one for one in subsets if one.group == group]
        values = [list(one.values.values()) for one in mine]
        traces.append(
            {
                "type": "bar",
                "x": [one.modalities for one in mine],
                "y": [statistics.fmean(part) for part in values],
                "error_y": {"type": "data", "array": [deviation(part) for part in values]},
                "name": group,
                "marker": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(group)}<br>%{{x}}: %{{y:.4f}}<extra></extra>",
            }
        )
    layout = {"barmode": "group", "yaxis": {"title": {"text": metric}}, "xaxis": {"type": "category"}}
    return {"data": traces, "layout": layout}


def deviation(values: Sequence[float]) -> float:
    """Over seeds, n - 1 in the denominator; of one seed 0, which draws no bar."""
    return statistics.stdev(values) if len(values) > 1 else 0.0
