"""``SeriesReading``: which columns of a file are a series, and when each of its rows was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmbert.core.errors import DataError, nearest
from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.series_files import SeriesColumn, Words
from mmbert.data.tables.reading import written_as

#: Names of columns of times, in small letters, the most certain first.
TIME_NAMES = ("time", "timestamp", "t")
OTHER_TIMES = (
    "If another column has the times, name it with the encoder's option time; if there is none, say how fast the rows "
    "follow one another with rows_per_second"
)
TimeUnit = Literal["s", "ms", "us", "ns"]
#: How many of a unit are a second.
IN_A_SECOND: Mapping[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class Series:
    """Channels over time.

    Attributes:
        times: (n,) float64 seconds, ascending.
        values: (n, C) float64, NaN where there is none.
        channels: their names.
        source: the file, for messages; empty = none.
    """

    times: np.ndarray
    values: np.ndarray
    channels: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class SeriesReading:
    """What is read of the columns of a file.

    Attributes:
        time: the column of times; None = ``time``, ``timestamp`` or ``t``, else the first one.
        time_unit: of times that are numbers.
        rows_per_second: of files without times; their rows follow one another so fast. None = there are times.
        channels: the columns that are read; None = all of numbers.
    """

    time: str | None = None
    time_unit: TimeUnit = "s"
    rows_per_second: float | None = None
    channels: tuple[str, ...] | None = None

    def series(self, columns: Mapping[str, SeriesColumn], part: TimeSpan = WHOLE_INPUT, source: str = "") -> Series:
        """The series in a file's columns, or a part of it: the rows from ``start`` on and before ``end``.

        Args:
            columns: see ``read_columns``.
            part: in the clock of the file's own times; moments are counted from the first row.
            source: the file, for messages.

        Raises:
            DataError: times or channels cannot be used, or the part lies outside of the times.
        """
        rows = len(next((column for column in columns.values() if isinstance(column, np.ndarray)), ()))
        if not any(isinstance(column, np.ndarray) for column in columns.values()):
            raise DataError(f"it has no column of numbers: {', '.join(columns) or 'it has none at all'}")
        if rows < 2:
            raise DataError("it has one row only, where a series has two at least" if rows else "it has no rows")
        clock = self._clock(columns)
        times = np.arange(rows) / (self.rows_per_second or 1.0) if clock is None else self._times(clock, columns[clock])
        names = self._names(columns, clock)
        values = np.stack([channel_numbers(name, columns[name]) for name in names], 1)
        if part == WHOLE_INPUT:
            return Series(times, values, tuple(names), source)
        if part.start > times[-1] or part.end is not None and part.end <= times[0]:
            asked = f"from {part.start:g} s on" if part.end is None else f"from {part.start:g} to {part.end:g} s"
            raise DataError(
                f"its times go from {times[0]:.10g} to {times[-1]:.10g} s, and the part {asked} is asked for"
            )
        first = np.searchsorted(times, part.start)
        last = len(times) if part.end is None else np.searchsorted(times, part.end)
        return Series(times[first:last], values[first:last], tuple(names), source)

    def _clock(self, columns: Mapping[str, SeriesColumn]) -> str | None:
        """The column of times; None = rows follow one another evenly.

        Raises:
            DataError: it is not there; or it is, and would be taken for a channel since ``rows_per_second`` is given.
        """
        if self.time is not None:
            return column_called(self.time, columns, "time")
        small = {name.lower(): name for name in reversed(list(columns))}
        usual = next((small[name] for name in TIME_NAMES if name in small), None)
        if self.rows_per_second is None:
            return next(iter(columns)) if usual is None else usual
        if usual is not None and self.channels is None:
            raise DataError(
                f"it has a column of times, '{usual}': leave the encoder's option rows_per_second out, or name the "
                "channels with channels=[...]"
            )
        return None

    def _times(self, clock: str, column: SeriesColumn) -> np.ndarray:
        """(n,) seconds of a column of times.

        Raises:
            DataError: one is no time, or they do not ascend.
        """
        other = f" {OTHER_TIMES}" if self.time is None and clock.lower() not in TIME_NAMES else ""
        if isinstance(column, Words):
            raise DataError(
                f"'{column.example}' in row {column.row} of its column of times '{clock}' is neither a number of "
                f"seconds nor a moment such as 2030-01-31T12:00:00.5.{other}"
            )
        empty = np.isnat(column) if column.dtype.kind == "M" else ~np.isfinite(column)
        if empty.any():
            raise DataError(f"row {int(empty.argmax()) + 1} has no time (column '{clock}').{other}")
        if column.dtype.kind == "M":
            times = (column - column[0]).astype(np.int64) / 1e9
        else:
            times = column / IN_A_SECOND[self.time_unit]
        steps = np.diff(times)
        if (steps <= 0).any():
            row = int((steps <= 0).argmax())
            before, after = f"{times[row]:.10g} s in row {row + 1}", f"{times[row + 1]:.10g} s in row {row + 2}"
            if steps[row] < 0:
                raise DataError(
                    f"its times run back, from {before} to {after} (column '{clock}'): sort its rows, or divide the "
                    f"file where a new recording begins.{other}"
                )
            raise DataError(
                f"its times repeat: {before}, {after} (column '{clock}'): leave one of such rows in.{other}"
            )
        return times

    def _names(self, columns: Mapping[str, SeriesColumn], clock: str | None) -> list[str]:
        """The columns of the channels."""
        if self.channels is not None:
            return [column_called(name, columns, "channels") for name in self.channels]
        names = [
            name
            for name, column in columns.items()
            if name != clock and (column.mixed if isinstance(column, Words) else column.dtype.kind != "M")
        ]
        if not names:
            beside = "" if clock is None else f" beside the times '{clock}'"
            raise DataError(f"it has no column of numbers{beside}: its columns are {', '.join(columns)}")
        return names


def column_called(name: str, columns: Mapping[str, SeriesColumn], option: str) -> str:
    """The column of this name.

    Raises:
        DataError: there is none.
    """
    found = written_as(name, columns)
    if found is None:
        raise DataError(
            f"it has no column '{name}', which the encoder reads (option {option}): all files of a column of series "
            f"have the same channels. {nearest(name, columns)}"
        )
    return found


def channel_numbers(name: str, column: SeriesColumn) -> np.ndarray:
    """(n,) float64 of a channel, NaN where a cell is empty.

    Raises:
        DataError: it has words, moments or infinite numbers.
    """
    if isinstance(column, Words):
        point = "; write decimals with a point" if column.example.replace(",", "").isdigit() else ""
        raise DataError(
            f"'{column.example}' in row {column.row} of its column '{name}' is no number{point}. An empty cell says "
            "that there is none; channels that are wanted are named with the encoder's option channels"
        )
    if column.dtype.kind == "M":
        raise DataError(f"its column '{name}' has moments, not numbers: name the channels with the option channels")
    infinite = np.isinf(column)
    if infinite.any():
        row = int(infinite.argmax()) + 1
        raise DataError(f"its column '{name}' has an infinite number in row {row}: leave such a cell empty")
    return column
