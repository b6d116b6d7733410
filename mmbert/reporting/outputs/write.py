"""A report's files."""

from __future__ import annotations

from pathlib import Path

from mmbert.core.errors import ConfigError
from mmbert.core.folder_lock import folder_lock
from mmbert.core.whole_files import clear_leftovers, whole_file, write_whole_text
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
        with folder_lock(folder, "another report goes there; wait for it, or name another folder"):
            return write_all_files(report, folder, with_latex)
    except OSError as error:
        raise ConfigError(f"--out {folder}: it cannot be written ({error.strerror or error}).") from error


def write_all_files(report: RunsReport, folder: Path, with_latex: bool) -> list[Path]:
    """The files of ``write_report_files``, each whole or not at all."""
    names = ["report.md", "summary.csv", "results.csv", "results.parquet", "report.html"]
    paths = [folder / name for name in [*names, *(["results.tex"] if with_latex else [])]]
    clear_leftovers(folder, [path.name for path in paths])
    write_whole_text(paths[0], markdown_page(report))
    with whole_file(paths[1]) as temporary:
        report.summary.to_csv(temporary, index=False)
    table = results_table(report.runs)
    with whole_file(paths[2]) as temporary:
        table.to_csv(temporary, index=False)
    mixed = [
        name
        for name in table
        if not table[name].map(is_python_number).all()
        and (table[name].map(type).nunique() > 1 or table[name].map(is_large_integer).any())
    ]
    with whole_file(paths[3]) as temporary:
        table.astype(dict.fromkeys(mixed, str)).to_parquet(temporary, index=False)
    write_whole_text(paths[4], html_page(report))
    if with_latex:
        write_whole_text(paths[5], latex(report))
    return paths


def is_python_number(value: object) -> bool:
    """Numbers of several types make one column, if 64 bits hold them."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not is_large_integer(value)


def is_large_integer(value: object) -> bool:
    """Whether a value is an integer that 64 bits do not hold."""
    return isinstance(value, int) and not -(2**63) <= value < 2**63
