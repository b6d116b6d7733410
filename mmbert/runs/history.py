"""``history.csv`` read back: curves of everything that a run logged, by step or by epoch."""

from __future__ import annotations

import csv
from pathlib import Path


def read_history(path: Path) -> dict[str, list[tuple[int, float]]]:
    """``{metric: [(step, value), …]}`` in order of steps; of what a resumed run measured again, the last value."""
    curves: dict[str, dict[int, float]] = {}
    for row in read_rows(path):
        step = int(float(row["step"]))
        for key, text in row.items():
            if key not in ("step", None) and text:
                curves.setdefault(key, {})[step] = float(text)
    return {key: sorted(points.items()) for key, points in curves.items()}


def read_epochs(path: Path, metric: str) -> list[tuple[int, float]]:
    """A metric as ``[(epoch, value), …]`` in the order of writing; the first epoch is 0, and one may come twice.

    A resumed run measures an epoch again. In files of earlier versions the chosen checkpoint's own validation comes
    last, filed under an epoch after the last.
    """
    return [
        (int(float(row["epoch"])), float(row[metric]))
        for row in read_rows(path)
        if row.get(metric) and row.get("epoch")
    ]


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows as they are written: text by column, empty where nothing was logged."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
