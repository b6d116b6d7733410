"""Columns that are made of a table's own: texts or facts read together, a part of a file, cells that hold nothing.

They are not in the file. A table is told what they are made of, and makes them again wherever it is unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.data.tables.cells import pair_cells
from mmbert.data.tables.times import seconds_of_cells


class Columns(Protocol):
    """What is asked of a table."""

    def __len__(self) -> int: ...

    def values(self, name: str) -> pa.ChunkedArray:
        """A column as Arrow has it."""
        ...

    def column(self, name: str) -> list[Any]:
        """The cells of a column, None where empty."""
        ...

    def empty(self, column: str) -> np.ndarray:
        """(rows,) bool: which cells of a column are empty."""
        ...

    def is_media(self, column: str) -> bool:
        """Whether the cells are pictures or sounds themselves."""
        ...


class DerivedColumn(Protocol):
    """What a column is made of."""

    @property
    def name(self) -> str:
        """Of the column, unlike all of the file's."""
        ...

    def cells(self, table: Columns) -> pa.ChunkedArray:
        """The column itself."""
        ...


@dataclass(frozen=True)
class Pair:
    """``{"before": …, "text": …}``, empty where the second is.

    Attributes:
        before, text: columns.
    """

    before: str
    text: str

    @property
    def name(self) -> str:
        """See ``DerivedColumn``."""
        return f"{self.before} + {self.text}"

    def cells(self, table: Columns) -> pa.ChunkedArray:
        """See ``DerivedColumn``."""
        empty = pa.array(table.empty(self.text))
        return pair_cells(table.values(self.before), table.values(self.text), empty)


@dataclass(frozen=True)
class ColumnsTogether:
    """``{"age": …, "sex": …}``: cells of several columns by column; null in empty ones, empty where all are.

    Attributes:
        columns: which, by the names that an option gives them.
    """

    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """See ``DerivedColumn``."""
        return f"{{{', '.join(self.columns)}}}"

    def cells(self, table: Columns) -> pa.ChunkedArray:
        """See ``DerivedColumn``."""
        parts, all_empty = [], np.ones(len(table), bool)
        for column in self.columns:
            values, empty = table.values(column), table.empty(column)
            parts.append(pc.if_else(pa.array(empty), pa.scalar(None, values.type), values))
            all_empty &= empty
        cells = pc.make_struct(*parts, field_names=list(self.columns))
        return pc.if_else(pa.array(all_empty), pa.scalar(None, cells.type), cells)


@dataclass(frozen=True)
class Span:
    """``{"path": …, "start": …, "end": …}``: the file that a cell names, from one time to another, in seconds.

    Times that are empty or cannot be read are null: from the beginning, to the end. Empty where the cell is.

    Attributes:
        column: of file names, or of ``{"bytes": …, "path": …}``.
        start, end: columns of times; None = from the beginning, to the end.
    """

    column: str
    start: str | None
    end: str | None

    @property
    def name(self) -> str:
        """See ``DerivedColumn``."""
        return f"{self.column} [{self.start or ''} … {self.end or ''}]"

    def cells(self, table: Columns) -> pa.ChunkedArray:
        """See ``DerivedColumn``."""
        values, empty = table.values(self.column), pa.array(table.empty(self.column))
        parts = {"path": values}
        if pa.types.is_struct(values.type):
            parts = {field.name: pc.struct_field(values, field.name) for field in values.type}
        elif table.is_media(self.column):
            parts = {"bytes": values, "path": pa.chunked_array([pa.nulls(len(values), pa.string())])}
        for key, column in (("start", self.start), ("end", self.end)):
            times = np.full(len(table), np.nan) if column is None else seconds_of_cells(table.column(column))
            parts[key] = pa.chunked_array([pa.array(times, from_pandas=True)])
        cells = pc.make_struct(*parts.values(), field_names=list(parts))
        return pc.if_else(empty, pa.scalar(None, cells.type), cells)


@dataclass(frozen=True)
class Without:
    """A column of which some cells count as empty for one encoder: what they name holds nothing of its kind.

    Attributes:
        column: which.
        encoder: its name.
        rows: packed bits of (the table's rows,) bool.
    """

    column: str
    encoder: str
    rows: bytes

    @property
    def name(self) -> str:
        """See ``DerivedColumn``."""
        return f"{self.column} ({self.encoder})"

    def cells(self, table: Columns) -> pa.ChunkedArray:
        """See ``DerivedColumn``."""
        values = table.values(self.column)
        gone = np.unpackbits(np.frombuffer(self.rows, np.uint8), count=len(table)).astype(bool)
        return pc.if_else(pa.array(gone), pa.scalar(None, values.type), values)
