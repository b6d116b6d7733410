"""``mmbert-report FOLDER... --metric test/answer/accuracy --by fusion,modalities --out DIR``: runs compared."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmbert.core.errors import MmbertError

EXAMPLE = "example: mmbert-report multirun/fusion_comparison --by fusion --out reports/fusion"


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    words = parser().parse_args(argv)
    try:
        report(words.folders, words.metric, [key for key in (words.by or "").split(",") if key], words.out)
    except MmbertError as error:
        print(f"mmbert-report: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parser() -> argparse.ArgumentParser:
    """What may be typed."""
    options = argparse.ArgumentParser(
        prog="mmbert-report",
        description="Compares finished runs: mean, spread and interval over seeds.",
        epilog=EXAMPLE,
    )
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs' folders, or folders above them")
    options.add_argument("--metric", help="such as test/answer/accuracy; by default what checkpoints are chosen by")
    options.add_argument("--by", help="group by, with commas: fusion, modalities, data, or any option (fusion.out_dim)")
    options.add_argument("--out", type=Path, help="folder for report.md, summary.csv and results.csv")
    return options


def report(folders: list[Path], metric: str | None, by: list[str], out: Path | None) -> None:
    """Collects, summarises, shows and writes.

    Raises:
        MmbertError: no run, or no such metric or option.
    """
    from mmbert.reporting import tables  # pandas: after the words are known to be right
    from mmbert.reporting.collect import collect
    from mmbert.reporting.summary import default_metric, summarise

    runs = collect(folders)
    metric = metric or default_metric(runs)
    summary = summarise(runs, metric, by)
    show(*tables.display(summary, metric), tables.notes(runs, metric, by))
    if out is not None:
        for path in tables.write(runs, summary, metric, by, out):
            print(f"  {path}")


def show(head: list[str], rows: list[list[str]], notes: list[str]) -> None:
    """The table and its notes in the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    # a pipe has no width of its own; 80 columns would cut names
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for note in notes:
        console.print(f"  {note}", soft_wrap=True)


if __name__ == "__main__":
    main()
