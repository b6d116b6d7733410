"""Plots of a report as plotly's plain JSON: traces and a layout, drawn by the page itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from mmbert.reporting.statistics.classification import ClassificationResults
from mmbert.reporting.statistics.curves import pareto_front
from mmbert.reporting.statistics.shapley import Contribution

#: ``{"data": [traces], "layout": {…}}``
Figure = dict[str, Any]

#: More classes than this make a confusion matrix show colours alone.
NUMBERED = 15
#: Points of a risk-coverage curve on a page, whatever the number of samples.
RISK_POINTS = 200


def scores_figure(
    values: Mapping[str, Mapping[int, float]], intervals: Mapping[str, tuple[float, float]], metric: str
) -> Figure:
    """Each group's seeds as points, its mean and interval beside them; best group on top."""
    names = list(values)[::-1]
    points = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(values[name].values()),
            "y": [name] * len(values[name]),
            "text": [f"seed {seed}" for seed in values[name]],
            "marker": {"size": 8, "opacity": 0.5, "color": "#8a96a3"},
            "hovertemplate": "%{y}, %{text}: %{x:.4f}<extra></extra>",
            "showlegend": False,
        }
        for name in names
    ]
    means = [float(np.mean(list(values[name].values()))) for name in names]
    ends = [intervals.get(name, (math.nan, math.nan)) for name in names]
    bars = {
        "type": "scatter",
        "mode": "markers",
        "x": means,
        "y": names,
        "marker": {"size": 12, "symbol": "diamond", "color": "#1f6feb"},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [clean(high - mean) for mean, (_, high) in zip(means, ends, strict=True)],
            "arrayminus": [clean(mean - low) for mean, (low, _) in zip(means, ends, strict=True)],
        },
        "hovertemplate": "%{y}: mean %{x:.4f}<extra></extra>",
        "showlegend": False,
    }
    layout = {"xaxis": {"title": {"text": metric}}, "yaxis": {"type": "category", "automargin": True}}
    return {"data": [*points, bars], "layout": layout}


def ranks_figure(mean_ranks: Mapping[str, float]) -> Figure:
    """Mean ranks over seeds, the best on top."""
    ordered = sorted(mean_ranks.items(), key=lambda item: -item[1])
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": [rank for _, rank in ordered],
        "y": [name for name, _ in ordered],
        "marker": {"color": "#1f6feb"},
        "hovertemplate": "%{y}: mean rank %{x:.2f}<extra></extra>",
    }
    return {
        "data": [bar],
        "layout": {"xaxis": {"title": {"text": "mean rank over seeds, 1 = best"}, "rangemode": "tozero"}},
    }


def contributions_figure(found: Sequence[Contribution], metric: str) -> Figure:
    """A bar a modality, its seeds as points."""
    ordered = sorted(found, key=lambda one: one.mean)
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [one.mean for one in ordered],
        "y": [one.modality for one in ordered],
        "marker": {"color": "#1f6feb"},
        "hovertemplate": "%{y}: %{x:+.4f}<extra></extra>",
        "showlegend": False,
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for one in ordered for value in one.values.values()],
        "y": [one.modality for one in ordered for _ in one.values],
        "text": [f"seed {seed}" for one in ordered for seed in one.values],
        "marker": {"size": 7, "color": "#8a96a3"},
        "hovertemplate": "%{y}, %{text}: %{x:+.4f}<extra></extra>",
        "showlegend": False,
    }
    return {"data": [bars, points], "layout": {"xaxis": {"title": {"text": f"share of {metric}"}}}}


def weights_figure(groups: Mapping[str, Sequence[tuple[str, float]]]) -> Figure:
    """A bar a modality and group: ``{group: [(modality, weight of one run), …]}``."""
    traces = []
    for number, (group, pairs) in enumerate(groups.items()):
        names = list(dict.fromkeys(name for name, _ in pairs))
        values = [[value for other, value in pairs if other == name] for name in names]
        traces.append(
            {
                "type": "bar",
                "x": names,
                "y": [float(np.mean(part)) for part in values],
                "error_y": {"type": "data", "array": [float(np.std(part)) for part in values]},
                "name": group,
                "marker": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(group)}<br>%{{x}}: %{{y:.3f}}<extra></extra>",
            }
        )
    return {"data": traces, "layout": {"barmode": "group", "yaxis": {"rangemode": "tozero"}}}


def weight_curves_figure(runs: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]) -> Figure:
    """A line a run and modality, a colour a modality: ``{run: {modality: [(epoch, mean), …]}}``."""
    names = list(dict.fromkeys(name for lines in runs.values() for name in lines))
    shown: set[str] = set()
    traces = []
    for run, lines in runs.items():
        for name, points in lines.items():
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(points) < 30 else "lines",
                    "x": [x for x, _ in points],
                    "y": [clean(y) for _, y in points],
                    "name": name,
                    "legendgroup": name,
                    "showlegend": name not in shown,
                    "line": {"color": COLOURS[names.index(name) % len(COLOURS)], "width": 1.6},
                    "marker": {"size": 4},
                    "hovertemplate": f"{template_text(f'{run}, {name}')}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
            shown.add(name)
    return {"data": traces, "layout": {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"rangemode": "tozero"}}}


def learning_curves_figure(
    curves: Mapping[str, Sequence[tuple[str, Sequence[tuple[float, float]]]]], metric: str
) -> Figure:
    """A line a run, a colour a group: ``{group: [(run, points), …]}``."""
    traces = []
    for number, (group, runs) in enumerate(curves.items()):
        for place, (run, points) in enumerate(runs):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers" if len(points) < 30 else "lines",
                    "x": [x for x, _ in points],
                    "y": [clean(y) for _, y in points],
                    "name": group,
                    "legendgroup": group,
                    "showlegend": place == 0,
                    "line": {"color": COLOURS[number % len(COLOURS)], "width": 1.6},
                    "marker": {"size": 4},
                    "hovertemplate": f"{template_text(run)}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                }
            )
    layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": metric}}}
    return {"data": traces, "layout": layout}


def quality_against(
    cost: str, points: Mapping[str, tuple[float, float]], metric: str, larger_is_better: bool
) -> Figure | None:
    """Groups as ``{name: (cost, quality)}``; those that no other beats are marked and joined."""
    known = {name: pair for name, pair in points.items() if not any(map(math.isnan, pair))}
    if len(known) < 2:
        return None
    front = pareto_front([c for c, _ in known.values()], [q for _, q in known.values()], larger_is_better)
    marked = sorted(pair for pair, on in zip(known.values(), front, strict=True) if on)
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [c for c, _ in marked],
        "y": [q for _, q in marked],
        "line": {"dash": "dot", "width": 1, "color": "#8a96a3"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    dots = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [c for c, _ in known.values()],
        "y": [q for _, q in known.values()],
        "text": list(known),
        "textposition": "top center",
        "marker": {"size": 11, "color": ["#1f6feb" if on else "#b8c2cc" for on in front]},
        "hovertemplate": "%{text}<br>" + template_text(cost) + " %{x}<br>%{y:.4f}<extra></extra>",
        "showlegend": False,
        "cliponaxis": False,
    }
    layout = {"xaxis": {"title": {"text": cost}}, "yaxis": {"title": {"text": metric}}}
    return {"data": [line, dots], "layout": layout}


def confusion_figure(results: ClassificationResults) -> Figure:
    """Rows are the truth, columns the answers; colour is the share of the row."""
    counts = results.confusion()
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    heat = {
        "type": "heatmap",
        "z": np.round(shares, 4).tolist(),
        "x": list(results.classes),
        "y": list(results.classes),
        "customdata": counts.tolist(),
        "colorscale": "Blues",
        "reversescale": True,
        "zmin": 0,
        "zmax": 1,
        "hovertemplate": "truth %{y}, answer %{x}: %{customdata} (%{z:.1%} of the row)<extra></extra>",
    }
    if len(results.classes) <= NUMBERED:
        heat |= {"text": counts.tolist(), "texttemplate": "%{text}"}
    axis = {"type": "category", "tickfont": {"size": 10}}
    return {
        "data": [heat],
        "layout": {
            "xaxis": {**axis, "title": {"text": "answer"}},
            "yaxis": {**axis, "title": {"text": "truth"}, "autorange": "reversed"},
        },
    }


def roc_figure(groups: Mapping[str, ClassificationResults]) -> Figure:
    """A curve a group, micro-averaged over classes, thinned to what can be seen."""
    traces: list[dict[str, Any]] = [diagonal()]
    for number, (name, results) in enumerate(groups.items()):
        false, true, area = results.roc()
        kept = np.unique(np.linspace(0, len(false) - 1, 200).astype(int))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": np.round(false[kept], 5).tolist(),
                "y": np.round(true[kept], 5).tolist(),
                "name": f"{name} ({area:.3f})",
                "line": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(name)}<br>%{{x:.3f}} false, %{{y:.3f}} true<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "false positive rate"}, "range": [-0.01, 1.01]},
        "yaxis": {"title": {"text": "true positive rate"}, "range": [-0.01, 1.01]},
    }
    return {"data": traces, "layout": layout}


def calibration_figure(groups: Mapping[str, ClassificationResults]) -> Figure:
    """Reliability: how often answers of each confidence are right; the legend has the expected calibration error."""
    traces: list[dict[str, Any]] = [diagonal()]
    for number, (name, results) in enumerate(groups.items()):
        found = results.calibration()
        full = found.counts > 0
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "x": found.confidence[full].round(4).tolist(),
                "y": found.accuracy[full].round(4).tolist(),
                "customdata": found.counts[full].tolist(),
                "name": f"{name} (ECE {found.error:.3f})",
                "line": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(name)}<br>"
                f"%{{customdata}} answers, confidence %{{x:.2f}}, right %{{y:.2f}}<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "confidence"}, "range": [-0.01, 1.01]},
        "yaxis": {"title": {"text": "share that is right"}, "range": [-0.01, 1.01]},
    }
    return {"data": traces, "layout": layout}


def risk_coverage_figure(groups: Mapping[str, ClassificationResults]) -> Figure:
    """The share of errors among the surest answers over how many are answered; the legend has the area."""
    traces: list[dict[str, Any]] = []
    for number, (name, results) in enumerate(groups.items()):
        coverage, risk, area = results.risk()
        kept = np.unique(np.linspace(0, len(risk) - 1, RISK_POINTS).round().astype(int))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": coverage[kept].round(4).tolist(),
                "y": risk[kept].round(4).tolist(),
                "name": f"{name} (AURC {area:.3f})",
                "line": {"color": COLOURS[number % len(COLOURS)]},
                "hovertemplate": f"{template_text(name)}<br>%{{x:.0%}} answered, %{{y:.1%}} wrong<extra></extra>",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "coverage: share of the samples that is answered"}, "range": [-0.01, 1.01]},
        "yaxis": {"title": {"text": "share of errors among them"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout}


def diagonal() -> dict[str, Any]:
    """From corner to corner."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"dash": "dot", "width": 1, "color": "#8a96a3"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def template_text(name: str) -> str:
    """A name inside a template of plotly's, where it is neither HTML nor a place for a value."""
    return escape(name, quote=False).replace("%{", "%\u200b{")


def clean(value: float) -> float | None:
    """A number as JSON has it: NaN is nothing."""
    return None if value != value else float(value)


COLOURS = ("#1f77b4", "#e6851e", "#2ca02c", "#d1495b", "#8f6bb8", "#8c6d5a", "#c2589b", "#7d8893", "#a8a42a", "#17a3b8")
