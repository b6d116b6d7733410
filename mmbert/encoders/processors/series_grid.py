"""Series on a regular grid of times: linear interpolation, never across long gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.modalities.feature_files import MOST_NUMBERS
from mmbert.data.modalities.series_reading import Series

#: Without ``max_gap``: a gap is longer than so many steps of the file or of the grid, whichever are longer.
USUAL_STEPS = 3
#: Steps of the grid for each row of a file, beyond which a rate is taken for a mistake.
MOST_STEPS_A_ROW = 1000
#: Share of a step within which a row counts as lying on the grid.
ON_GRID = 1e-6


def trimmed_series(series: Series) -> Series:
    """A series without the rows before its first and after its last number; without any, no row."""
    there = np.flatnonzero(np.isfinite(series.values).any(1))
    rows = slice(there[0], there[-1] + 1) if len(there) else slice(0, 0)
    return replace(series, times=series.times[rows], values=series.values[rows])


def grid_steps(series: Series, rate: float) -> int:
    """How many steps a trimmed series has on a grid that begins with its first row and ends before its last or with it.

    Raises:
        DataError: they are so many that the rate, or the unit of the times, must be a mistake.
    """
    rows = len(series.times)
    if not rows:
        return 0
    seconds = float(series.times[-1] - series.times[0])
    steps = seconds * rate
    if steps > MOST_STEPS_A_ROW * rows or steps * series.values.shape[1] > MOST_NUMBERS:
        raise DataError(
            f"its {rows:,} rows last {seconds:,.10g} s, which at rate={rate:g} would be {steps:,.0f} steps: lower the "
            "encoder's option rate; or are its times in other units (time_unit=ms)?"
        )
    return int(steps + on_grid_seconds(series, rate) * rate) + 1


def on_grid_seconds(series: Series, rate: float) -> float:
    """How near to a moment of the grid a row lies on it: what float64 loses of its time, such as one since 1970."""
    coarsest = float(np.spacing(np.abs(series.times).max()))
    return min(max(ON_GRID / rate, 4 * coarsest), 0.01 / rate)


def on_grid(series: Series, rate: float, max_gap: float | None, most: int) -> np.ndarray:
    """A trimmed series at moments that are 1 / ``rate`` apart, the first of them that of its first row.

    Each channel is interpolated between its own neighbouring numbers, and only where these are at most ``max_gap``
    apart; there is nothing before its first and after its last number. There is no filter: a rate far below that of the
    file sees single moments, not means.

    Args:
        series: n rows.
        rate: steps a second.
        max_gap: in seconds; None = three steps of the grid, or three median steps of the series, if these are longer.
        most: steps that are made at most.

    Returns:
        (T, C) float64, NaN where there is nothing.

    Raises:
        DataError: see ``grid_steps``.
    """
    count = min(most, grid_steps(series, rate))
    found = np.full((count, series.values.shape[1]), np.nan)
    if not count:
        return found
    times = series.times - series.times[0]
    grid = np.minimum(np.arange(count) / rate, times[-1])
    if max_gap is None:
        median = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        max_gap = USUAL_STEPS * max(1 / rate, median)
    near = on_grid_seconds(series, rate)
    for place, values in enumerate(series.values.T):
        there = np.isfinite(values)
        if not there.any():
            continue
        knots, numbers = times[there], values[there]
        left = np.searchsorted(knots, grid + near, "right") - 1  # the last number before, or at, each moment
        right = np.minimum(left + 1, len(knots) - 1)
        before = np.maximum(left, 0)
        at_left = (left >= 0) & (grid - knots[before] <= near)
        between = (left >= 0) & (left + 1 < len(knots)) & (knots[right] - knots[before] <= max_gap * (1 + 1e-9))
        found[:, place] = np.where(at_left | between, np.interp(grid, knots, numbers), np.nan)
    return found
