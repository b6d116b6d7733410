"""``StreamedTable``: a table of which some columns hold locators; their content is read a cell at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.data.streaming.locators import BLOCK_COLUMN, FIELDS, is_locator
from mmbert.data.tables.table import Rows, Table

#: Fields of a cell that are a locator's business alone.
INNER = frozenset(FIELDS)


class StreamedTable(Table):
    """A subclass says how the content is read (``_content``). Rows, labels and all other cells are a table's own."""

    def _map(self) -> None:
        super()._map()
        self.column_names.remove(BLOCK_COLUMN)  # no column of the data's own

    def _content(self, row: int, locator: dict[str, Any]) -> tuple[bytes | None, str | None] | None:
        """The bytes that a locator of a row means, and the name of the file that they were; None = nothing is there.

        Without bytes it is a file of that name, which lies elsewhere.

        Raises:
            DataError: they cannot be read; the message names the row.
        """
        raise NotImplementedError

    def fetch_ahead(self, blocks: Sequence[int]) -> None:
        """Blocks that will be read next, in this order; fetching them begins, and is not waited for."""

    def blocks(self, rows: Rows) -> np.ndarray:
        """(n,) int64: the block that each row lies in."""
        found: np.ndarray = self.values(BLOCK_COLUMN, rows).to_numpy().astype(np.int64)
        return found

    def streams(self, column: str) -> bool:
        """See ``Table``."""
        return is_locator(self.values(column).type)

    def is_media(self, column: str) -> bool:
        """See ``Table``; content that lies elsewhere counts as lying in the table."""
        return self.streams(column) or super().is_media(column)

    def empty(self, column: str) -> np.ndarray:
        """See ``Table``."""
        if not self.streams(column):
            return super().empty(column)
        return np.asarray(pc.is_null(self.values(column)).to_numpy(), bool)

    def written(self, row: int, column: str) -> Any:
        """See ``Table``; of content that lies elsewhere ``{"bytes": …, "path": …}``, with the times of a part."""
        value = super().written(row, column)
        if value is None or not self.streams(column):
            return value
        found = self._content(row, value)
        if found is None:
            return None
        return {"bytes": found[0], "path": found[1], **{key: part for key, part in value.items() if key not in INNER}}

    def column(self, name: str, rows: Rows | None = None) -> list[Any]:
        """See ``Table``; of content that lies elsewhere every cell is read: ask for few rows at a time."""
        if not self.streams(name):
            return super().column(name, rows)
        numbers = range(len(self)) if rows is None else np.asarray(rows, np.int64).tolist()
        return [self.cell(row, name) for row in numbers]

    def content_names(self, column: str) -> list[str | None]:
        """See ``Table``."""
        if not self.streams(column):
            return super().content_names(column)
        found: list[str | None] = pc.struct_field(self.values(column), "name").to_pylist()
        return found

    def content_keys(self, column: str, rows: Rows) -> np.ndarray | None:
        """See ``Table``."""
        if not self.streams(column) or {field.name for field in self.values(column).type} != INNER:
            return None  # of a part of a content the times count too
        values = self.values(column, rows)
        zero = pa.scalar(0, pa.uint64())
        halves = [pc.fill_null(pc.struct_field(values, half), zero).to_numpy() for half in ("high", "low")]
        return np.stack(halves, 1).astype(np.uint64)

    def sizes(self, column: str, rows: Rows) -> np.ndarray | None:
        """See ``Table``."""
        if not self.streams(column):
            return None
        found = pc.fill_null(pc.struct_field(self.values(column, rows), "size"), 0).to_numpy()
        return None if (found < 0).any() else found.astype(np.float64)
