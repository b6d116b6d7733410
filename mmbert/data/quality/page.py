"""The report of a check as one self-contained HTML file, with example images and sounds inside."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.privacy import Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.labels import TargetEncoder
from mmbert.data.modalities.base import Modality
from mmbert.data.quality.report import DataReport, Finding, Spread

#: Samples of each split that are shown.
EXAMPLES = 6
HISTOGRAM_BINS = 30

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #66727f; --line: #d9dee3; --back: #fff; --bar: #1f6feb }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #3a4450; --back: #15191e; --bar: #539bf5 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 64rem;
  margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.2rem; margin-top: 2.2rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 600 }
.findings { list-style: none; padding: 0 }
.findings li { border-left: 4px solid; padding: .3rem .8rem; margin: .5rem 0 }
.findings .error { border-color: #d1242f } .findings .warning { border-color: #d4a72c }
.findings .fine { border-color: #2da44e }
.findings small { color: var(--soft); display: block; overflow-wrap: anywhere }
.bar { display: inline-block; height: .6rem; background: var(--bar); border-radius: 2px }
.track { display: inline-block; width: 4rem; margin-left: .5rem; text-align: left }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } .plots figure { margin: 0; flex: 1 1 18rem; max-width: 24rem }
figcaption { color: var(--soft) } svg { width: 100%; height: auto }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem; overflow-wrap: anywhere }
.card img { max-width: 100%; display: block; margin: .4rem 0; image-rendering: auto } .card audio { width: 100% }
.card small { color: var(--soft) }
"""


def data_page(
    report: DataReport,
    data: MultimodalData,
    inputs: Mapping[str, Modality],
    tasks: Mapping[str, TargetEncoder],
    privacy: Privacy | None = None,
) -> str:
    """The whole page.

    Args:
        report: what was found.
        data: where the examples are.
        inputs: what each encoder reads, by name.
        tasks: by name.
        privacy: without samples there are no examples; their texts and labels are masked.
    """
    privacy = Privacy() if privacy is None else privacy
    body = [
        f"<h1>{escape(str(data.path))}</h1>",
        *findings_list(report.findings),
        "<h2>Splits</h2>",
        split_sizes_table(report),
        *class_share_tables(report),
        "<h2>Lengths and sizes</h2>",
        f'<div class="plots">{"".join(histograms(report))}</div>',
        *(example_cards(data, inputs, tasks, privacy) if privacy.samples else ()),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Data: {escape(data.path.name)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def findings_list(found: Sequence[Finding]) -> Iterator[str]:
    """Errors and warnings, with the rows that they are true of."""
    yield "<h2>Findings</h2>"
    if not found:
        yield '<ul class="findings"><li class="fine">Nothing was found to be wrong.</li></ul>'
        return
    items = []
    for finding in found:
        more = f" and {finding.count - len(finding.rows)} more" if finding.count > len(finding.rows) > 0 else ""
        rows = f"<small>{escape(', '.join(finding.rows))}{more}</small>" if finding.rows else ""
        count = f" <b>({finding.count:,} row{'s' * (finding.count != 1)})</b>" if finding.count else ""
        items.append(f'<li class="{finding.severity}">{escape(finding.what)}{count}{rows}</li>')
    yield f'<ul class="findings">{"".join(items)}</ul>'


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; ``rows`` are HTML already, ``head`` is plain text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def split_sizes_table(report: DataReport) -> str:
    """Rows, missing modalities and missing labels."""
    encoders = list(dict.fromkeys(name for facts in report.splits.values() for name in facts.missing))
    tasks = list(dict.fromkeys(name for facts in report.splits.values() for name in facts.unlabelled))
    rows = [
        [
            escape(split),
            f"{facts.rows:,}",
            *(f"{facts.missing.get(name, 0):,}" for name in encoders),
            *(f"{facts.unlabelled.get(name, 0):,}" for name in tasks),
        ]
        for split, facts in report.splits.items()
    ]
    return html_table(
        ["split", "rows", *(f"no {name}" for name in encoders), *(f"no {name} label" for name in tasks)], rows
    )


def class_share_tables(report: DataReport) -> Iterator[str]:
    """Each task's classes by split, with bars for the shares."""
    for task in dict.fromkeys(name for facts in report.splits.values() for name in facts.labels):
        counts = {split: facts.labels.get(task, {}) for split, facts in report.splits.items()}
        largest = {split: max([*of.values(), 1]) for split, of in counts.items()}
        names = list(next(iter(counts.values())))
        rows = [
            [escape(name), *(count_bar(of.get(name, 0), largest[split]) for split, of in counts.items())]
            for name in names
        ]
        yield f"<h2>Classes of {escape(task)}</h2>"
        yield html_table(["class", *counts], rows)


def count_bar(count: int, largest: int) -> str:
    """A number and a bar as long as its share of the largest."""
    return f'{count:,}<span class="track"><span class="bar" style="width:{4 * count / largest:.2f}rem"></span></span>'


def histograms(report: DataReport) -> Iterator[str]:
    """A picture for each quantity, the splits in it as shares of their rows."""
    names = [(name, what) for facts in report.splits.values() for name, of in facts.spreads.items() for what in of]
    for name, what in dict.fromkeys(names):
        of = {split: facts.spreads.get(name, {}).get(what) for split, facts in report.splits.items()}
        spreads = {split: spread for split, spread in of.items() if spread is not None}
        caption = f"{escape(name)}: {escape(what)}"
        values = [v for spread in spreads.values() for v in (spread.least, spread.most)]
        if min(values) == max(values):
            yield f"<figure><figcaption>{caption}: {values[0]:.4g} everywhere</figcaption></figure>"
        else:
            yield f"<figure><figcaption>{caption}</figcaption>{histogram(spreads)}</figure>"


def histogram(spreads: Mapping[str, Spread]) -> str:
    """An SVG whose lines can be told apart on light and on dark."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.8, 2.3), layout="tight")
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(np.concatenate([spread.values for spread in spreads.values()]), HISTOGRAM_BINS)
    for split, spread in spreads.items():
        counts, _ = np.histogram(spread.values, edges)
        # a dollar would begin a formula
        axes.stairs(counts / counts.sum(), edges, label=split.replace("$", "\\$"), linewidth=1.4)
    grey = "#7b8794"
    axes.tick_params(colors=grey, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(grey)
    axes.set_ylabel("share of rows", color=grey, fontsize=8)
    axes.legend(fontsize=7, frameon=False, labelcolor=grey)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "mmbert"}):  # else names in it are drawn at random: no two pages would be the same
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]


def example_cards(
    data: MultimodalData, inputs: Mapping[str, Modality], tasks: Mapping[str, TargetEncoder], privacy: Privacy
) -> Iterator[str]:
    """Some samples of each split, evenly spaced."""
    for split, rows in data.rows.items():
        if len(rows):
            picked = rows[np.unique(np.linspace(0, len(rows) - 1, EXAMPLES).round().astype(int))]
            cards = "".join(example_card(data, int(row), inputs, tasks, privacy) for row in picked)
            yield f'<h2>Examples of {escape(split)}</h2>\n<div class="cards">{cards}</div>'


def example_card(
    data: MultimodalData,
    row: int,
    inputs: Mapping[str, Modality],
    tasks: Mapping[str, TargetEncoder],
    privacy: Privacy,
) -> str:
    """One sample: its modalities and its labels."""
    parts = [f"<small>{escape(data.table.where(row).removeprefix(f'{data.path}, '))}</small>"]
    for name, modality in inputs.items():
        cell = data.table.cell(row, data.column_of(name))
        cell = privacy.masked_value(cell) if modality.shown_as == "text" else cell
        shown = (
            f"<small>no {escape(name)}</small>"
            if cell is None
            else example_html(cell, modality, data.table.folder, privacy)
        )
        parts.append(f"<div>{shown}</div>")
    for name, column in ((name, column) for name, task in tasks.items() for column in task.columns):
        label = data.table.cell(row, column) if data.table.has_column(column) else None
        parts.append(f"<div><b>{escape(name)}</b> {'–' if label is None else escape(privacy.masked(str(label)))}</div>")
    return f'<div class="card">{"".join(parts)}</div>'


def example_html(cell: Any, modality: Modality, folder: Path, privacy: Privacy) -> str:
    """One cell as HTML, or why it cannot be shown."""
    try:
        return modality.example_html(cell, folder)
    except DataError as error:
        return f"<small>{escape(privacy.masked(str(error)))}</small>"
