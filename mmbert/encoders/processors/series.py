"""``SeriesProcessor``: channels become standard scores, on a regular grid of times or at the times that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from mmbert.core.errors import DataError
from mmbert.core.types import Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.series import SeriesModality
from mmbert.data.modalities.series_reading import Series, SeriesReading
from mmbert.data.tables.train_cells import TrainCells
from mmbert.encoders.processors.series_grid import grid_steps, on_grid, trimmed_series


class PreparedSeries(NamedTuple):
    """T steps of C channels.

    Attributes:
        values: (T, C) float32, standard scores; 0 where there is none.
        observed: (T, C) bool, where there is one.
        positions: (T,) float32, places on the grid; without one, seconds from the first step over ``step_seconds``.
    """

    values: torch.Tensor
    observed: torch.Tensor
    positions: torch.Tensor


class SeriesProcessor:
    """Numbers minus the mean of train, over its standard deviation, at the steps of a grid, or row by row.

    Args:
        reading: which columns of files are meant.
        statistics: ``{"mean": …, "std": …}`` by channel, in the order of the channels.
        rate: steps a second of the grid; None = each row that has a number is a step.
        max_gap: see ``on_grid``.
        max_steps: what is behind them is cut.
        step_seconds: without a grid, seconds that count as one step in ``positions``.
    """

    kind: str = "series"
    #: Standard scores, NaN where there is none, row by row, each row behind its position; T, and C + 1.
    packed: ClassVar[tuple[str, str, int]] = ("float32", "int32", 2)

    def __init__(
        self,
        reading: SeriesReading,
        statistics: Mapping[str, Mapping[str, float]],
        rate: float | None = None,
        max_gap: float | None = None,
        max_steps: int = 1024,
        step_seconds: float = 1.0,
    ) -> None:
        self.reading = replace(reading, channels=tuple(statistics))
        self.statistics = {name: dict(known) for name, known in statistics.items()}
        self.rate, self.max_gap, self.max_steps, self.step_seconds = rate, max_gap, max_steps, step_seconds
        self.modality = SeriesModality(self.reading)
        self._mean = np.array([known["mean"] for known in self.statistics.values()])
        self._std = np.array([known["std"] for known in self.statistics.values()])

    @property
    def length_limit(self) -> LengthLimit:
        """See ``Cutting``."""
        return steps_limit(self.reading, self.rate, self.max_steps)

    def prepare(self, raw: Series) -> PreparedSeries:
        """A series -> its standard scores.

        Raises:
            DataError: it has no number, one beyond float32, or too many steps.
        """
        return self.unpack(*self.pack(raw))

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        own = {"rate": self.rate, "max_gap": self.max_gap, "max_steps": self.max_steps}
        learnt = {"statistics": self.statistics, "step_seconds": self.step_seconds}
        return {"reading": asdict(self.reading), **own, **learnt}

    def pack(self, raw: Series) -> tuple[np.ndarray, np.ndarray]:
        """See ``packed``."""
        try:
            return self._packed(raw)
        except DataError as error:
            raise DataError(f"{raw.source}: {error}" if raw.source else str(error)) from error

    def _packed(self, raw: Series) -> tuple[np.ndarray, np.ndarray]:
        series = trimmed_series(raw)
        if not len(series.times):
            raise DataError(f"it has no number in {', '.join(self.statistics)}: leave its cell empty")
        if self.rate is not None:
            values = on_grid(series, self.rate, self.max_gap, self.max_steps)
            positions = np.arange(len(values), dtype=np.float64)
        else:
            rows = np.flatnonzero(np.isfinite(series.values).any(1))[: self.max_steps]
            values = series.values[rows]
            positions = (series.times[rows] - series.times[0]) / self.step_seconds
        with np.errstate(over="ignore"):
            scores = ((values - self._mean) / self._std).astype(np.float32)
        beyond = np.isinf(scores).any(0)
        if beyond.any():
            name = list(self.statistics)[int(beyond.argmax())]
            raise DataError(f"its column '{name}' has a number that is too far from the mean of train for float32")
        long = np.concatenate([positions[:, None].astype(np.float32), scores], 1)
        return long, np.array(long.shape, np.int32)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> PreparedSeries:
        """See ``prepare``."""
        steps, width = map(int, fixed)
        grid = torch.from_numpy(np.array(long, np.float32).reshape(steps, width))
        observed = ~grid[:, 1:].isnan()
        return PreparedSeries(grid[:, 1:].nan_to_num(0.0), observed, grid[:, 0].contiguous())

    def collate(self, prepared: list[PreparedSeries | None]) -> Inputs:
        """Series (None = missing) -> values (B, T, C), observed (B, T, C) bool, positions (B, T), mask (B, T) bool.

        The mask is True where a step has a number of any channel.
        """
        longest = max([1, *(len(series.positions) for series in prepared if series is not None)])
        size, width = len(prepared), len(self.statistics)
        values, positions = torch.zeros(size, longest, width), torch.zeros(size, longest)
        observed = torch.zeros(size, longest, width, dtype=torch.bool)
        for row, series in enumerate(prepared):
            if series is not None:
                count = len(series.positions)
                values[row, :count], observed[row, :count] = series.values, series.observed
                positions[row, :count] = series.positions
        return {"values": values, "observed": observed, "positions": positions, "mask": observed.any(2)}


def steps_limit(reading: SeriesReading, rate: float | None, max_steps: int) -> LengthLimit:
    """Of series: their steps on the grid, or rows that have a number."""
    modality = SeriesModality(reading)

    def steps(cell: Any, folder: Path) -> float:
        try:
            series = trimmed_series(modality.read(cell, folder))
            if rate is not None:
                return float(grid_steps(series, rate))
            return float(np.isfinite(series.values).any(1).sum())
        except DataError:
            return 0.0

    def measure(cells: Sequence[Any], folder: Path) -> list[float]:
        return [steps(cell, folder) for cell in cells]

    return LengthLimit("max_steps", max_steps, "steps", measure)


class LearntSeries(NamedTuple):
    """What the rows of train say.

    Attributes:
        statistics: mean and standard deviation (of the population) by channel; 1 where all numbers are equal.
        step_seconds: the median over samples of the median time from one row to the next.
    """

    statistics: dict[str, dict[str, float]]
    step_seconds: float


def learnt_series(cells: TrainCells, reading: SeriesReading) -> LearntSeries:
    """Reads every series of train, or the parts of them that are meant, once; a channel without a number is left out.

    Means are of all numbers of all rows, in which long series count for more.

    Raises:
        DataError: files have different channels and ``reading`` names none, or a channel that it names has no number.
    """
    moments: dict[str, np.ndarray] = {}  # count, mean, sum of squared deviations
    steps: list[float] = []
    first = ""
    for where, series in replace(cells, modality=SeriesModality(reading)).raws():
        if not moments:
            moments, first = {name: np.zeros(3) for name in series.channels}, where
        elif set(series.channels) != set(moments):
            strange = sorted(set(series.channels) ^ set(moments))
            raise DataError(
                f"{where}: its columns of numbers are {', '.join(series.channels)}, and those of the file in "
                f"{first.partition(', column')[0]} are {', '.join(moments)}: '{strange[0]}' is in one of them only. "
                "All files of a column of series have the same channels; name those that all have with the encoder's "
                "option channels=[...]."
            )
        for name, values in zip(series.channels, series.values.T, strict=True):
            moments[name] = joined_moments(moments[name], values[np.isfinite(values)])
        if len(series.times) > 1:
            steps.append(float(np.median(np.diff(series.times))))
    empty = [name for name, (count, *_) in moments.items() if not count]
    if empty and (reading.channels is not None or len(empty) == len(moments)) or not moments:
        which = f"column of series '{cells.column}'" if not moments else f"channel '{empty[0]}' of '{cells.column}'"
        raise DataError(
            f"{cells.table.path}: the {which} has no number in all of train, so nothing can be learnt of it."
        )
    statistics = {name: statistics_of(name, found) for name, found in moments.items() if found[0]}
    return LearntSeries(statistics, float(np.median(steps)) if steps else 1.0)


def joined_moments(so_far: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Count, mean and sum of squared deviations (3,) of some numbers and further ones (n,).

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    if not len(values):
        return so_far
    count, mean, squares = so_far
    with np.errstate(over="ignore", invalid="ignore"):
        own = values.mean()
        total, delta = count + len(values), own - mean
        joined = squares + ((values - own) ** 2).sum() + delta**2 * count * len(values) / total
        return np.array([total, mean + delta * len(values) / total, joined])


def statistics_of(channel: str, moments: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation; 1 where all numbers are equal but for rounding.

    Raises:
        DataError: they are too large.
    """
    count, mean, squares = map(float, moments)
    std = (squares / count) ** 0.5
    if not np.isfinite(std) or not np.isfinite(mean):
        raise DataError(f"channel '{channel}': its numbers are so large that they have no deviation: scale them down")
    return {"mean": mean, "std": std if std > 10 * np.finfo(np.float64).eps * abs(mean) and std > 0 else 1.0}
