"""``Remark``: what a run says of its data before it trains, and a check reports as a warning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmbert.data.datamodule import MultimodalData


@dataclass(frozen=True)
class Remark:
    """Something that may mislead whoever reads the results.

    Attributes:
        what: a sentence on the rows, that fits one or many.
        rows: (n,) int64, n > 0.
    """

    what: str
    rows: np.ndarray

    def line(self, data: MultimodalData) -> str:
        """In one line, with the number of rows and the first of them: finding each takes a pass over the file."""
        first = data.table.where(int(self.rows[0])).removeprefix(f"{data.path}, ")
        count = len(self.rows)
        return f"{self.what} ({first})" if count == 1 else f"{self.what} ({count:,} rows, the first is {first})"
