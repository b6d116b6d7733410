"""Inputs that an encoder cuts: how many rows, and by how much. Every run says it, mmbert-check-data of every row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.processor import Cutting
from mmbert.data.tables.table import Table

#: Rows that a run measures, and seconds after which it measures no more; which ones is drawn by a seed.
SAMPLED_ROWS = 2_000
SAMPLED_SECONDS = 1.0
#: Of sounds in the table itself.
SAMPLED_MEDIA = 128
#: Cells that are measured at a time.
MEASURED_AT_ONCE = 32


@dataclass
class CutInputs:
    """What is known of an encoder's long inputs.

    Attributes:
        encoder: its name.
        limit: where it cuts.
        rows: how many there are that have the modality.
        measured: how many of them were measured.
        lengths: of those measured that are longer than the limit.
    """

    encoder: str
    limit: LengthLimit
    rows: int
    measured: int = 0
    lengths: list[float] = field(default_factory=list)

    def line(self) -> str:
        """One sentence; without a sample the numbers are exact."""
        count, most = len(self.lengths), f"{self.encoder}.{self.limit.option}={self.limit.most:g}"
        who = f"{count:,} of {self.rows:,} rows {'is' if count == 1 else 'are'}"
        if self.measured < self.rows:
            looked_at = f"{count:,} of {self.measured:,} looked at"
            who = f"about {count / self.measured:.1%} of {self.rows:,} rows ({looked_at}) are"
        advice = self.limit.advice(self.encoder)
        return f"{self.encoder}: {who} longer than {most} and cut ({self.spread()}); {advice}"

    def spread(self) -> str:
        """Median and maximum of the lengths, in the limit's own unit."""
        return f"median {np.median(self.lengths):,.10g}, longest {max(self.lengths):,.10g} {self.limit.unit}"


def cut_inputs(data: MultimodalData) -> list[str]:
    """One line for each encoder that cuts some of the rows; of large tables a sample is measured.

    The data are connected, so that it is known what cuts.
    """
    found = []
    everything = np.unique(np.concatenate([np.empty(0, np.int64), *data.rows.values()]))
    for name, processor in data.processors.items():
        limit = processor.length_limit if isinstance(processor, Cutting) else None
        if name in data.drop or limit is None:
            continue
        column = data.column_of(name)
        rows = everything[~data.table.empty(column)[everything]]
        cut = CutInputs(name, limit, len(rows))
        for cells in sampled_cells(data.table, column, rows):
            lengths = cut.limit.measure(cells, data.table.folder)
            cut.measured += len(cells)
            cut.lengths += [length for length in lengths if length > cut.limit.most]
        found += [cut.line()] if cut.lengths else []
    return found


def sampled_cells(table: Table, column: str, rows: np.ndarray) -> Iterator[list[Any]]:
    """Cells of some rows (n,) int64, a few at a time, the same in every run as far as time allows."""
    most = SAMPLED_MEDIA if table.is_media(column) else SAMPLED_ROWS
    chosen = np.random.default_rng(0).permutation(rows)[:most]
    until = time.monotonic() + SAMPLED_SECONDS
    for start in range(0, len(chosen), MEASURED_AT_ONCE):
        yield list(table.column(column, np.sort(chosen[start : start + MEASURED_AT_ONCE])))
        if time.monotonic() > until:
            return
