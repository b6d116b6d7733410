"""Cells that say a moment in a recording: seconds, or hours, minutes and seconds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.tables.cells import cell_excerpt

#: ``1:02:03.5``, ``02:03.5`` and, as in subtitles, ``00:14:38,127``.
CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
FORMS = "give seconds (12.5) or hours, minutes and seconds (0:00:12.5)"


def seconds_of(cell: Any) -> float | None:
    """Seconds from the beginning of a recording; None where the cell is empty.

    Raises:
        DataError: the cell says no moment.
    """
    if cell is None:
        return None
    if isinstance(cell, str) and (found := CLOCK.fullmatch(cell.strip())):
        hours, minutes, seconds = found.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    try:
        value = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(f"{cell_excerpt(cell)} is no moment in a recording: {FORMS}")
    return value


def seconds_of_cells(cells: Sequence[Any]) -> np.ndarray:
    """(rows,) float64; NaN where a cell is empty or says no moment."""
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        try:
            seconds = seconds_of(cell)
        except DataError:
            continue
        found[row] = np.nan if seconds is None else seconds
    return found


def span_faults(starts: Sequence[Any], ends: Sequence[Any]) -> dict[int, str]:
    """What is wrong with the times of rows, by their place: no moments, or an end that is not after the beginning.

    Args:
        starts: a cell a row, None = from the beginning.
        ends: a cell a row, None = to the end.
    """
    faults: dict[int, str] = {}
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        try:
            first, last = seconds_of(start), seconds_of(end)
        except DataError as error:
            faults[place] = str(error)
            continue
        if last is not None and last <= (first or 0.0):
            faults[place] = f"the part ends at {last:g} s and begins at {first or 0:g} s: the end must come after it"
    return faults
