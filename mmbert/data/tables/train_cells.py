"""``TrainCells``: the cells of train that an encoder learns from before it is built, such as means and categories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.outside_files import outside_rows, refuse_outside
from mmbert.data.tables.table import SLICE, Table


@dataclass(frozen=True)
class TrainCells:
    """A column of the rows of train, and of no other.

    Attributes:
        table: where they are.
        column: which is read.
        modality: what its cells are.
        rows: (n,) int64, of train.
        skip: cells that cannot be used are passed over, as their rows will be.
        trusted: files outside the table's folder may be read.
    """

    table: Table
    column: str
    modality: Modality
    rows: np.ndarray
    skip: bool = False
    trusted: bool = True

    def raws(self, max_seconds: float | None = None) -> Iterator[tuple[str, Any]]:
        """Where each cell that is not empty stands, and its raw value as ``Modality.read`` gives it, row by row.

        Args:
            max_seconds: no more than this need be read, of inputs that last.

        Raises:
            DataError: a cell cannot be used, and ``skip`` is false; names its row.
        """
        columns, inputs = {self.column: self.column}, {self.column: self.modality}
        outside = {} if self.trusted else outside_rows(self.table, self.rows, columns, inputs)
        if not self.skip:
            refuse_outside(self.table, outside)
        for start in range(0, len(self.rows), SLICE):
            part = self.rows[start : start + SLICE]
            for row, cell in zip(part.tolist(), self.table.column(self.column, part), strict=True):
                if cell is None or row in outside:
                    continue
                where = f"{self.table.where(row)}, column '{self.column}'"
                try:
                    yield where, self.modality.read(cell, self.table.folder, max_seconds)
                except DataError as error:
                    if not self.skip:
                        raise DataError(f"{where}: {error}") from error
