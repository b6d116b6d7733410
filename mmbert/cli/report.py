"""``mmbert-report FOLDER... --by fusion --baseline fusion=concat --out DIR``: runs compared."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmbert.core.errors import ConfigError, MmbertError

EXAMPLE = "example: mmbert-report multirun/fusion_comparison --by fusion --out reports/fusion"


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    args = report_parser().parse_args(argv)
    try:
        run_report(args)
    except MmbertError as error:
        print(f"mmbert-report: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def report_parser() -> argparse.ArgumentParser:
    """What may be typed."""
    options = argparse.ArgumentParser(
        prog="mmbert-report",
        description="Compares finished runs: mean, spread and intervals over seeds, and tests against a baseline.",
        epilog=EXAMPLE,
    )
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="runs' folders, or folders above them")
    options.add_argument("--metric", help="such as test/answer/accuracy; by default what checkpoints are chosen by")
    options.add_argument("--by", help="group by, with commas: fusion, modalities, data, or any option (fusion.out_dim)")
    options.add_argument("--baseline", help="the group that others are compared with: concat, or fusion=concat")
    options.add_argument("--out", type=Path, help="folder for the page and the tables as files")
    options.add_argument("--latex", action="store_true", help="with --out: also results.tex, a table for a paper")
    options.add_argument(
        "--wandb",
        action="store_true",
        help="log tables and figures as a W&B run in the group of the runs; offline without a key",
    )
    options.add_argument("--wandb-project", metavar="PROJECT", help="with --wandb: by default that of the runs")
    options.add_argument("--wandb-entity", metavar="ENTITY", help="with --wandb: team or user")
    return options


def run_report(args: argparse.Namespace) -> None:
    """Collects, compares, shows and writes.

    Raises:
        MmbertError: no run, or no such metric, option or group; a W&B option without ``--wandb``.
    """
    if (args.wandb_project or args.wandb_entity) and not args.wandb:
        raise ConfigError("--wandb-project and --wandb-entity say where --wandb logs: add --wandb.")
    from mmbert.reporting import tables  # pandas: after the words are known to be right
    from mmbert.reporting.collect import collect
    from mmbert.reporting.outputs.robustness_tables import text_tables
    from mmbert.reporting.outputs.sharing_tables import sharing_tables
    from mmbert.reporting.outputs.write import write_report_files
    from mmbert.reporting.report import make_report

    by = [key for key in (args.by or "").split(",") if key]
    made = make_report(collect(args.folders), args.metric, by, args.baseline)
    print_table(*tables.summary_table(made.summary, made.metric), [*made.sentences, *made.notes])
    for one in [*sharing_tables(made.sharing), *text_tables(made.robustness, made.metric)]:
        if not one.long:
            print_table(one.head, one.rows, [one.note] if one.note else [], title=one.title)
    written = write_report_files(made, args.out, args.latex) if args.out is not None else []
    for path in written:
        print(f"  {path}")
    if args.wandb:
        from mmbert.reporting.outputs.wandb_report import log_report  # wandb: a second to import

        print(f"  {log_report(made, args.out or Path(), args.wandb_project, args.wandb_entity, written)}")


def print_table(head: list[str], rows: list[list[str]], notes: list[str], title: str | None = None) -> None:
    """The table and its notes in the terminal."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole

    table = Table(*head, title=title)
    for row in rows:
        table.add_row(*row)
    # a pipe has no width of its own; 80 columns would cut names
    console = PlainConsole(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    for note in notes:
        console.print(f"  {note}", soft_wrap=True)


if __name__ == "__main__":
    main()
