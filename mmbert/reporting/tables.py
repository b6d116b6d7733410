"""Tables of a comparison: Markdown for a page, CSV for a spreadsheet, and what a reader must know beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmbert.core.shown_text import markdown_code, markdown_text
from mmbert.reporting.statistics.summary import FACTS, is_error, other_differences, repeated_seeds

if TYPE_CHECKING:
    import pandas as pd

#: columns that come first in results.csv
FIRST = ("run", "status", "reason", "data", "modalities", "fusion", "seed")


def summary_table(summary: pd.DataFrame, metric: str) -> tuple[list[str], list[list[str]]]:
    """A summary as head and rows of text."""
    import pandas as pd

    stats = ("n", "seeds", "mean", "std", "low", "high", "min", "max", "group", "boot_low", "boot_high", *FACTS)
    keys = [column for column in summary.columns if column not in stats]
    head = [*keys, "n", f"{metric} mean ± std", "95 % interval", "bootstrap", "min … max"]
    present = [fact for fact in FACTS if fact in summary]
    head += [{"wall_seconds": "minutes", "peak_memory_mib": "peak MiB"}[fact] for fact in present]
    rows = []
    for line in summary.to_dict("records"):
        cells = [str(line[key]) for key in keys] + [str(line["n"])]
        spread = "" if math.isnan(line["std"]) else f" ± {number_text(line['std'])}"
        interval = "–" if math.isnan(line["std"]) else f"{number_text(line['low'])} … {number_text(line['high'])}"
        low, high = line.get("boot_low", math.nan), line.get("boot_high", math.nan)
        resampled = "–" if math.isnan(low) else f"{number_text(low)} … {number_text(high)}"
        cells += [
            number_text(line["mean"]) + spread,
            interval,
            resampled,
            f"{number_text(line['min'])} … {number_text(line['max'])}",
        ]
        for fact in present:
            value = line[fact]
            shown = "–" if pd.isna(value) else f"{value / 60:.1f}" if fact == "wall_seconds" else f"{value:.0f}"
            cells.append(shown)
        rows.append(cells)
    return head, rows


def notes(runs: pd.DataFrame, metric: str, by: Sequence[str] = ()) -> list[str]:
    """What a reader must know to judge the table: the method, what is missing, what is not alike."""
    finished = runs[runs["status"] == "finished"]
    direction = "smaller is better" if is_error(metric) else "larger is better"
    lines = [
        f"{len(finished)} of {len(runs)} runs finished; {direction}. std has n - 1 in its denominator; the interval is "
        "Student's t for the mean, mean ± t(0.975, n - 1) · std / √n; the bootstrap's is BCa, too narrow for few seeds."
    ]
    for run in runs[runs["status"] != "finished"].itertuples():
        lines.append(f"Not counted: {run.run} ({run.status}; {run.reason})")
    without = finished[finished[metric].isna()]
    if len(without):
        lines.append(f"Without a value of {metric}, not counted: {', '.join(without['run'])}")
    counted = finished[finished[metric].notna()]
    for group in repeated_seeds(counted, by):
        lines.append(f"In the group '{group}' a seed occurs more than once: those runs are not independent.")
    if different := other_differences(counted, by):
        lines.append(f"Within a group the runs also differ in: {', '.join(different)}.")
    if counted["dirty"].eq(True).any():
        lines.append("Some runs were made from a checkout with uncommitted changes.")
    return lines


class Code(str):
    """A cell of a Markdown table that is shown as something to type."""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; numbers to the right would need to be known, so all stands left."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(map(markdown_cell, line)) + " |" for line in lines) + "\n"


def markdown_cell(cell: str) -> str:
    """A cell as Markdown shows it, whatever is in it."""
    return markdown_code(cell) if isinstance(cell, Code) else markdown_text(cell)


def results_table(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run: what it is, its metrics and facts; of the config what differs between the runs."""
    options = [column for column in runs.columns if column.startswith("config.")]
    same = {column for column in options if runs[column].astype(str).nunique() == 1}
    rest = [column for column in runs.columns if column not in FIRST and column not in same]
    ordered = sorted(rest, key=lambda column: column.startswith("config."))  # stable: metrics and facts, then options
    table = runs[[*(column for column in FIRST if column in runs), *ordered]]
    return table.astype({"seed": "Int64"}) if "seed" in table else table  # whole also where a run has none


def number_text(value: Any) -> str:
    """Four decimals for shares, four digits for the rest."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"
