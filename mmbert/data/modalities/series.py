"""Series: numbers over time, as sensors and trackers of faces give them, in CSV, TSV, Parquet, .npy and .npz files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.augment.series import SeriesAugmentation
from mmbert.data.modalities import series_files, series_reading
from mmbert.data.modalities.base import WHOLE_INPUT, CellFacts, TimeSpan, span_of_cell
from mmbert.data.modalities.media import MediaModality
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.series_files import SeriesColumn, columns_of_arrays, read_columns
from mmbert.data.modalities.series_reading import Series, SeriesReading

#: Channels and points of an example, and its width and height in pixels.
EXAMPLE_CHANNELS, EXAMPLE_POINTS, EXAMPLE_SIZE = 4, 200, (240, 32)


#: All columns of numbers, over the usual column of times.
EVERYTHING = SeriesReading()


class SeriesModality(MediaModality):
    """Channels with times. Cells name files; parts of them are cut by columns of times.

    Args:
        reading: which columns are meant; encoders have their own.
    """

    kind = "series"
    noun = "series"
    lasts = True
    looks_at_parts = True
    learns_of_train = True
    code = (series_files.__name__, series_reading.__name__)
    libraries = ("torch", "pyarrow")
    python_example = '"sensor.csv"'
    augmentation = SeriesAugmentation
    lacking = ("series has no number", "series have no number")

    def __init__(self, reading: SeriesReading = EVERYTHING) -> None:
        self.reading = reading

    @property
    def variant(self) -> str:
        """See ``Modality``."""
        return repr(self.reading)

    def decode(
        self, source: str | Path | BinaryIO, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT
    ) -> Series:
        """See ``MediaModality``."""
        name = str(source) if isinstance(source, (str, Path)) else ""
        return self.reading.series(read_columns(source), part, name)

    def may_lack(self, name: str) -> bool:
        """See ``Modality``: any file may have nothing but gaps."""
        return True

    def has_nothing(self, cell: Any, folder: str | Path) -> bool:
        """See ``Modality``: no channel has a number in the part that is meant."""
        try:
            return not np.isfinite(self.read(cell, folder).values).any()
        except DataError:
            return False

    def from_python(self, value: Any, processor: Processor) -> Series:
        """See ``Modality``: a path, or columns, or ``(times, values)``, or values alone.

        Columns are arrays by name, ``{"time": …, "x": …}``; values are (n,) or (n, C); alone, their rows follow one
        another as ``rows_per_second`` says.
        """
        if isinstance(value, Series):
            return value
        if isinstance(value, (str, Path)):
            found: Series = super().from_python(value, processor)
            return found
        try:
            return self.reading.series(self._columns(value))
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"The series given cannot be used: {error}.") from error

    def _columns(self, value: Any) -> Mapping[str, SeriesColumn]:
        if isinstance(value, Mapping):
            return columns_of_arrays({str(name): as_array(column) for name, column in value.items()})
        times, values = value if isinstance(value, tuple) else (None, value)
        grid = np.asarray(values, np.float64)
        grid = grid[:, None] if grid.ndim == 1 else grid
        names = self.reading.channels or tuple(map(str, range(grid.shape[1])))
        if grid.ndim != 2 or grid.shape[1] != len(names):
            raise DataError(f"its values have the shape {grid.shape} where (rows, {len(names)}) is needed")
        columns: dict[str, SeriesColumn] = (
            {} if times is None else {self.reading.time or "time": np.asarray(times, np.float64)}
        )
        return columns | {name: grid[:, place] for place, name in enumerate(names)}

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[Series], list[Series]]:
        """See ``Modality``: noise of several lengths, one with empty cells and a gap; then constants and a spike."""
        statistics: Mapping[str, Mapping[str, float]] = getattr(processor, "statistics", {})
        names = tuple(statistics)
        mean = np.array([known["mean"] for known in statistics.values()])
        std = np.array([known["std"] for known in statistics.values()])
        step = 1.0 / (getattr(processor, "rate", None) or 10.0)

        def noise(count: int, uneven: float = 0.0) -> Series:
            times = np.cumsum(step * (1 + uneven * random.random(count)))
            return Series(times, mean + std * random.standard_normal((count, len(names))), names)

        holed = noise(60, 0.5)
        holed.values[5:9, 0] = np.nan
        later = Series(np.where(np.arange(60) < 30, 0, 40 * step) + holed.times, holed.values, names)
        constant, spike = noise(20), noise(30)
        constant.values[:] = mean
        spike.values[7] += 1e4 * std
        return [noise(50), later, noise(7), noise(33, 0.3)], [constant, spike, noise(2), noise(3000)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: rows, seconds, rows a second (by the median step), and the share of numbers that lack."""
        series = self.read(cell, folder)
        there = np.isfinite(series.values)
        facts: dict[str, float] = {"rows": len(series.times), "gaps": round(1 - float(there.mean()), 4)}
        remarks: tuple[str, ...] = ()
        if len(series.times) > 1:
            steps = np.diff(series.times)
            facts |= {"seconds": float(series.times[-1] - series.times[0]), "hertz": float(1 / np.median(steps))}
        empty = [name for name, filled in zip(series.channels, there.any(0), strict=True) if not filled]
        if empty and there.any():
            remarks = (f"it has no number of {', '.join(repr(name) for name in empty)}",)
        return CellFacts(
            digest=self.stored_digest(cell, folder), quantities=facts, width=len(series.channels), remarks=remarks
        )

    def corrupted(
        self, raw: Series, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: x becomes x + ``level`` · std · n, with the deviation of train and n ~ N(0, 1)."""
        statistics: Mapping[str, Mapping[str, float]] = getattr(processor, "statistics", {})
        std = np.array([statistics[name]["std"] if name in statistics else 0.0 for name in raw.channels])
        noise = random.standard_normal(raw.values.shape)
        return processor.prepare(replace(raw, values=raw.values + level * std * noise))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: lines of the first channels."""
        series: Series = self.using(cell, folder, partial(self.decode, part=span_of_cell(cell)))
        chosen = np.unique(np.linspace(0, len(series.times) - 1, EXAMPLE_POINTS).astype(int))
        lines = [
            f"<small>{escape(name)}</small> {drawn_line(series.times[chosen], series.values[chosen, place])}"
            for place, name in enumerate(series.channels[:EXAMPLE_CHANNELS])
        ]
        return "<br>".join(lines)


def as_array(column: Any) -> np.ndarray:
    """Numbers or moments as they are, None in a list as NaN."""
    array = np.asarray(column)
    return array.astype(np.float64) if array.dtype == object else array


def drawn_line(times: np.ndarray, values: np.ndarray) -> str:
    """A channel (n,) as SVG; what is not finite interrupts the line."""
    width, height = EXAMPLE_SIZE
    there = np.isfinite(values)
    if not there.any():
        return "no numbers"
    low, high = float(values[there].min()), float(values[there].max())
    across = (times - times[0]) / ((times[-1] - times[0]) or 1.0) * width
    up = height - (values - low) / ((high - low) or 1.0) * height
    breaks = np.flatnonzero(np.diff(there.astype(int)) != 0) + 1
    pieces = [
        " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        for xs, ys, real in zip(np.split(across, breaks), np.split(up, breaks), np.split(there, breaks), strict=True)
        if real.all()
    ]
    lines = "".join(f'<polyline points="{piece}" fill="none" stroke="currentColor"/>' for piece in pieces)
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{low:g} to {high:g}">{lines}</svg>'


MODALITY = SeriesModality()
