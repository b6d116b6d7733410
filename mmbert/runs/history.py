"""``history.csv`` read back: curves of everything that a run logged, by step or by epoch."""

from __future__ import annotations

import csv
from pathlib import Path

from mmbert.core.errors import DataError


def read_history(path: Path) -> dict[str, list[tuple[int, float]]]:
    """``{metric: [(step, value), …]}`` in order of steps; of what a resumed run measured again, the last value.

    Raises:
        DataError: the file is damaged.
    """
    curves: dict[str, dict[int, float]] = {}
    for line, row in enumerate(read_rows(path), 2):
        step = count_in(path, line, "step", row.get("step"))
        for key, text in row.items():
            if key != "step" and text:
                curves.setdefault(key, {})[step] = number_in(path, line, key, text)
    return {key: sorted(points.items()) for key, points in curves.items()}


def read_epochs(path: Path, metric: str) -> list[tuple[int, float]]:
    """A metric as ``[(epoch, value), …]`` in the order of writing; the first epoch is 0, and one may come twice.

    A resumed run measures an epoch again. In files of earlier versions the chosen checkpoint's own validation comes
    last, filed under an epoch after the last.

    Raises:
        DataError: the file is damaged.
    """
    return [
        (count_in(path, line, "epoch", row["epoch"]), number_in(path, line, metric, row[metric]))
        for line, row in enumerate(read_rows(path), 2)
        if row.get(metric) and row.get("epoch")
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows as they are written: text by column, empty where nothing was logged.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():  # more cells than columns, or fewer
            raise DataError(f"{path}, line {line} has not as many cells as the file has columns: it is damaged.")
    return rows


def number_in(path: Path, line: int, column: str, text: str | None) -> float:
    """A cell as a number; a loss that is not finite is one too.

    Raises:
        DataError: it is none.
    """
    try:
        return float(text or "")
    except ValueError as error:
        raise DataError(f"{path}, line {line}: {column} is {str(text)[:40]!r}, no number: it is damaged.") from error


def count_in(path: Path, line: int, column: str, text: str | None) -> int:
    """A cell as a step or an epoch.

    Raises:
        DataError: it is none.
    """
    value = number_in(path, line, column, text)
    if not 0 <= value < 2**53:
        raise DataError(f"{path}, line {line}: {column} is {str(text)[:40]!r}, which cannot be: it is damaged.")
    return int(value)
