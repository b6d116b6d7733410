"""The width of the vectors in a table's column, for encoders that take it from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.outside_files import outside_rows, refuse_outside
from mmbert.data.tables.table import Table


def first_vector_width(
    table: Table,
    column: str,
    modality: Modality,
    options: Mapping[str, Any],
    skip: bool = False,
    trusted: bool = True,
) -> int | None:
    """How many numbers the first vector of a column has; None for kinds of input that have no width.

    Args:
        table: where the column is.
        column: which.
        modality: what its cells are.
        options: config of the encoder that reads them.
        skip: cells that cannot be used are passed over, as their rows will be.
        trusted: files outside the table's folder may be read.

    Raises:
        DataError: the column is empty, or its first cell (with ``skip``, every cell) cannot be used.
    """
    first: DataError | None = None
    for row, cell in table.distinct(column):
        try:
            if not trusted:
                refuse_outside(table, outside_rows(table, [row], {column: column}, {column: modality}))
            return modality.vector_width(cell, table.folder, options)
        except DataError as error:
            first = first or DataError(f"{table.where(row)}, column '{column}': {error}")
            if not skip:
                raise first from error
    if first is not None:
        raise first
    raise DataError(f"{table.path}: the column '{column}' is empty, so the width of its vectors is unknown.")
