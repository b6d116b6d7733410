"""An explanation as one HTML file that needs nothing else: what each modality contributes, as bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmbert.reporting.outputs.page.figures import Figure
from mmbert.reporting.outputs.page.html import Cell, Page


def explanation_page(content: Mapping[str, Any]) -> str:
    """The page of ``explanation.json``: a part a task."""
    made = Page(f"What the modalities contribute: {content['model']}")
    for number, (name, task) in enumerate(content["tasks"].items()):
        output, metric = task["output"], task["metric"]
        plots = made.plot(
            bars_with_intervals(output.get("modalities", {}), "share", "share of Σ|φ|"),
            f"share of the output: {output['explained']}, {output['samples']} samples of {content['split']}",
        )
        plots += made.plot(
            bars_with_intervals(output.get("modalities", {}), "value", "φ, mean over samples"),
            "Shapley values of the output",
        )
        if metric["metric"]:
            less = "" if metric["higher_is_better"] else ": what it falls by"
            plots += made.plot(
                bars_with_intervals(metric["modalities"], "value", f"gain in {metric['metric']}"),
                f"Shapley values of {metric['metric']}{less}",
            )
        tables = [f'<div class="plots">{plots}</div>' if plots else "", pairs_table(made, output, metric)]
        made.add(f"task-{number}", name, *tables)
    footer = (
        f"Exact Shapley values over every subset of {', '.join(content['modalities'])}; intervals of 95 % by "
        f"{content['bootstraps']} bootstraps over samples. Data: {content['data']}. Written {content['finished']}."
    )
    return made.html(footer)


def bars_with_intervals(found: Mapping[str, Mapping[str, Any]], key: str, title: str) -> Figure | None:
    """A bar a modality, the first on top; None where there are none."""
    known = {name: one[key] for name, one in reversed(list(found.items())) if one[key]["value"] is not None}
    if not known:
        return None
    bars: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": [one["value"] for one in known.values()],
        "y": list(known),
        "marker": {"color": "#1f6feb"},
        "hovertemplate": "%{y}: %{x:.4f}<extra></extra>",
        "showlegend": False,
    }
    if all(one["low"] is not None for one in known.values()):
        bars["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [one["high"] - one["value"] for one in known.values()],
            "arrayminus": [one["value"] - one["low"] for one in known.values()],
        }
    layout = {"xaxis": {"title": {"text": title}}, "yaxis": {"type": "category", "automargin": True}}
    return {"data": [bars], "layout": layout}


def pairs_table(made: Page, output: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    """The interactions of pairs."""
    of_metric: Sequence[Mapping[str, Any]] = metric.get("interactions", [])
    head = ["pair", "interaction in the output", "mean size", *([f"in {metric['metric']}"] if of_metric else [])]
    rows = []
    for place, pair in enumerate(output.get("interactions", [])):
        numbers = [pair["value"], pair["size"], *([of_metric[place]["value"]] if of_metric else [])]
        rows.append([Cell(" × ".join(pair["modalities"])), *map(interval_cell, numbers)])
    return f"<h3>Interactions</h3>{made.table(head, rows)}" if rows else ""


def interval_cell(found: Mapping[str, Any]) -> Cell:
    """A number and its interval, sorted by the number."""
    if found["value"] is None:
        return Cell("–")
    interval = "" if found["low"] is None else f" [{found['low']:+.4f}, {found['high']:+.4f}]"
    return Cell(f"{found['value']:+.4f}{interval}", found["value"])
