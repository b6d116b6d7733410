"""What compression costs and gives, as one HTML file: quality against latency and size, and every number in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmbert.reporting.outputs.page.figures import Figure
from mmbert.reporting.outputs.page.html import Cell, Page

MIB = 2**20


def compression_page(content: Mapping[str, Any]) -> str:
    """The page of ``compression.json``."""
    made = Page(f"Compressed: {content['model']}")
    rows, task = content["variants"], content["task"]
    metric = rows[0]["quality"][task]["metric"]
    plots = made.plot(
        frontier_figure(rows, task, "latency", [row["latency"]["1"]["p50_ms"] for row in rows], "p50 in ms, batch 1"),
        f"{task}: {metric} against latency",
        tall=True,
    )
    plots += made.plot(
        frontier_figure(rows, task, "size", [row["bytes"] / MIB for row in rows], "MiB on disk"),
        f"{task}: {metric} against size",
        tall=True,
    )
    made.add("frontier", f"Frontier of {task}", f'<div class="plots">{plots}</div>', costs_table(made, rows))
    for number, name in enumerate(rows[0]["quality"]):
        made.add(f"task-{number}", f"Quality: {name}", quality_table(made, rows, name))
    remarks = [[Cell(row["name"]), Cell(remark)] for row in rows for remark in row["remarks"]]
    remarks += [[Cell(name), Cell(f"could not be made: {why}")] for name, why in content["failed"].items()]
    made.add("remarks", "How each was made", made.table(["variant", ""], remarks, words=2) if remarks else "")
    return made.html(compression_footer(content))


def compression_footer(content: Mapping[str, Any]) -> str:
    """How it was measured."""
    machine = content["environment"]["cpu"]
    return (
        f"Measured on {content['split']}, intervals of 95 % by {content['bootstraps']} bootstraps over samples, "
        f"differences paired; the model is one and the same training. Latency of prepared tensors, with "
        f"{content['threads']} threads, {content['rounds']} rounds in turns, on {machine['model']} "
        f"({machine['usable_cores']} cores). Memory: peak of a "
        f"process of its own that loads the variant and answers 32 samples. Written {content['finished']}."
    )


def frontier_figure(
    rows: Sequence[Mapping[str, Any]], task: str, which: str, costs: Sequence[float], title: str
) -> Figure:
    """A point a variant, with its interval; those on the frontier are joined by a line."""
    traces: list[dict[str, Any]] = []
    known = [(row, cost) for row, cost in zip(rows, costs, strict=True) if task in row["quality"]]
    for on, name, colour in ((True, "on the frontier", "#1f6feb"), (False, "another is better", "#8b949e")):
        chosen = sorted(((r, c) for r, c in known if r["frontier"][which] is on), key=lambda pair: pair[1])
        if not chosen:
            continue
        quality = [row["quality"][task] for row, _ in chosen]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers+text" if on else "markers+text",
            "name": name,
            "x": [cost for _, cost in chosen],
            "y": [found["value"] for found in quality],
            "text": [row["name"] for row, _ in chosen],
            "textposition": "top center",
            "marker": {"size": 9, "color": colour},
            "line": {"color": colour, "shape": "hv"},
        }
        if all(found["low"] is not None for found in quality):
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [found["high"] - found["value"] for found in quality],
                "arrayminus": [found["value"] - found["low"] for found in quality],
                "thickness": 1,
            }
        traces.append(trace)
    metric = rows[0]["quality"][task]["metric"]
    return {"data": traces, "layout": {"xaxis": {"title": {"text": title}}, "yaxis": {"title": {"text": metric}}}}


def costs_table(made: Page, rows: Sequence[Mapping[str, Any]]) -> str:
    """Size, latency and memory."""
    sizes = list(rows[0]["latency"])
    head = ["variant", "frontier", "parameters", "MiB", "MiB, deflated"]
    for size in sizes:
        head += [f"p50 ms, batch {size}", f"p95 ms, batch {size}", f"times as fast, batch {size}"]
    head += ["peak MiB", "of these, libraries"]
    lines = []
    for row in rows:
        on = " and ".join(key for key, there in row["frontier"].items() if there)
        cells = [Cell(row["name"]), Cell(on or "–"), Cell(f"{row['parameters']:,}", row["parameters"])]
        cells += [Cell(f"{value / MIB:.1f}", value) for value in (row["bytes"], row["deflated_bytes"])]
        for size in sizes:
            found = row["latency"][size]
            cells += [Cell(f"{found[key]:.2f}", found[key]) for key in ("p50_ms", "p95_ms", "speedup")]
        cells += [Cell(f"{value:.0f}", value) for value in (row["memory"]["peak_mib"], row["memory"]["imports_mib"])]
        lines.append(cells)
    return made.table(head, lines, words=2)


def quality_table(made: Page, rows: Sequence[Mapping[str, Any]], task: str) -> str:
    """A task's metric of every variant, and its difference to the original's."""
    metric = rows[0]["quality"][task]["metric"]
    lines = []
    for row in rows:
        found = row["quality"].get(task)
        if found is None:
            continue
        first = row is rows[0]
        change = Cell("") if first else interval(found["difference"], "+.4f")
        lines.append([Cell(row["name"]), interval(found, ".4f"), change, Cell(str(found["samples"]), found["samples"])])
    return made.table(["variant", metric, "less the original's, paired", "samples"], lines)


def interval(found: Mapping[str, Any], shown: str) -> Cell:
    """A number and its interval, sorted by the number."""
    if found["value"] is None:
        return Cell("–")
    around = "" if found["low"] is None else f" [{found['low']:{shown}}, {found['high']:{shown}}]"
    return Cell(f"{found['value']:{shown}}{around}", found["value"])
