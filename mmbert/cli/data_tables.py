"""What ``mmbert-check-data`` shows in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from mmbert.core.terminal import PlainConsole
from mmbert.data.quality.report import DataReport, Finding, Spread

#: Classes that are listed; of more, the rarest, for these are what fails.
MAX_CLASSES = 25
#: Rows that a finding names in the terminal; files written by --json and --html name more.
MAX_ROWS = 5


def print_data_report(report: DataReport, path: Path) -> None:
    """Splits, sizes, classes, then findings."""
    console = PlainConsole(markup=True)
    console.print(splits_table(report, path))
    for table in (spreads_table(report), *class_tables(report)):
        if table.row_count:
            console.print(table)
    for finding in report.findings:
        colour = {"error": "red", "warning": "yellow"}[finding.severity]
        console.print(f"[{colour}]{finding.severity}[/]: {escape(finding_line(finding))}", soft_wrap=True)
    errors = len(report.errors)
    warnings = len(report.findings) - errors
    console.print(f"{plural(errors, 'error')}, {plural(warnings, 'warning')}")


def finding_line(finding: Finding, rows: int = MAX_ROWS) -> str:
    """A finding in one line, its first rows named."""
    named = ", ".join(finding.rows[:rows])
    more = f" and {finding.count - rows} more" if named and finding.count > rows else ""
    count = f" ({plural(finding.count, 'row')})" if finding.count else ""
    return f"{finding.what}{count}" + (f": {named}{more}" if named else "")


def plural(count: int, what: str) -> str:
    """``no errors``, ``1 error``, ``2 errors``."""
    return f"{count or 'no'} {what}{'s' * (count != 1)}"


def splits_table(report: DataReport, path: Path) -> Table:
    """Rows, missing modalities and missing labels by split."""
    encoders = list(dict.fromkeys(name for facts in report.splits.values() for name in facts.missing))
    tasks = list(dict.fromkeys(name for facts in report.splits.values() for name in facts.unlabelled))
    table = new_table(str(path), ["", *report.splits])
    splits = report.splits.values()
    table.add_row("rows", *(f"{facts.rows:,}" for facts in splits))
    for name in encoders:
        table.add_row(f"no {name}", *(with_share(facts.missing.get(name, 0), facts.rows) for facts in splits))
    for name in tasks:
        table.add_row(f"no label {name}", *(with_share(facts.unlabelled.get(name, 0), facts.rows) for facts in splits))
    return table


def spreads_table(report: DataReport) -> Table:
    """Least, median and most of every quantity by split."""
    table = new_table("Lengths and sizes: least / median / most", ["", *report.splits])
    names = [(name, what) for facts in report.splits.values() for name, of in facts.spreads.items() for what in of]
    for name, what in dict.fromkeys(names):
        cells = [quantiles(facts.spreads.get(name, {}).get(what)) for facts in report.splits.values()]
        table.add_row(f"{name} {what}" if what != "value" else name, *cells)
    return table


def class_tables(report: DataReport) -> list[Table]:
    """Counts of classes by split, a table a task."""
    tables = []
    for task in dict.fromkeys(name for facts in report.splits.values() for name in facts.labels):
        counts = {split: facts.labels.get(task, {}) for split, facts in report.splits.items()}
        classes = list(next(iter(counts.values())))
        reference = counts.get("train") or next(iter(counts.values()))
        title = f"Classes of {task}"
        if len(classes) > MAX_CLASSES:
            title += f": the {MAX_CLASSES} rarest of {len(classes)}"
            classes = sorted(classes, key=lambda name: reference.get(name, 0))[:MAX_CLASSES]
        table = new_table(title, ["class", *counts])
        for name in classes:
            cells = [with_share(of.get(name, 0), sum(of.values())) for of in counts.values()]
            table.add_row(escape(name), *cells)
        tables.append(table)
    return tables


def new_table(title: str, head: Sequence[str]) -> Table:
    """A table whose first column is words and whose others are numbers."""
    table = Table(title=escape(title), title_justify="left")
    for place, name in enumerate(head):
        table.add_column(escape(name), justify="right" if place else "left")
    return table


def with_share(count: int, of: int) -> str:
    """``12 (3.1%)``."""
    return f"{count:,} ({100 * count / of:.1f}%)" if of and count else f"{count:,}"


def quantiles(values: Spread | None) -> str:
    """``0.5 / 2.1 / 9``; one number where all are the same."""
    if values is None:
        return "–"
    three = (values.least, values.median, values.most)
    return " / ".join(map(three_digits, three if len(set(three)) > 1 else three[:1]))


def three_digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
