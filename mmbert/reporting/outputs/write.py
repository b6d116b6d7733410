"""A report's files."""

from __future__ import annotations

from pathlib import Path

from mmbert.core.errors import ConfigError
from mmbert.reporting.outputs.markdown import latex, markdown_page
from mmbert.reporting.outputs.page.build import html_page
from mmbert.reporting.report import RunsReport
from mmbert.reporting.tables import results_table


def write_report_files(report: RunsReport, folder: Path, with_latex: bool = False) -> list[Path]:
    """Leaves ``report.html`` and ``.md``, ``summary.csv`` (a row a group), ``results.csv``, ``.parquet`` (a row a run).

    Args:
        report: what is written.
        folder: made if it does not exist.
        with_latex: ``results.tex`` too.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [
            folder / name for name in ("report.md", "summary.csv", "results.csv", "results.parquet", "report.html")
        ]
        paths[0].write_text(markdown_page(report), encoding="utf-8")
        report.summary.to_csv(paths[1], index=False)
        table = results_table(report.runs)
        table.to_csv(paths[2], index=False)
        mixed = [
            name
            for name in table
            if table[name].map(type).nunique() > 1 and not table[name].map(is_python_number).all()
        ]
        table.astype(dict.fromkeys(mixed, str)).to_parquet(paths[3], index=False)
        paths[4].write_text(html_page(report), encoding="utf-8")
        if with_latex:
            paths.append(folder / "results.tex")
            paths[-1].write_text(latex(report), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {folder}: it cannot be written ({error.strerror or error}).") from error
    return paths


def is_python_number(value: object) -> bool:
    """Numbers of several types make one column."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
