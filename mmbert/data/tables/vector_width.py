"""The width of the vectors in a table's column, for encoders that take it from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.table import Table


def first_vector_width(table: Table, column: str, modality: Modality, options: Mapping[str, Any]) -> int | None:
    """How many numbers the first vector of a column has; None for kinds of input that have no width.

    Args:
        table: where the column is.
        column: which.
        modality: what its cells are.
        options: config of the encoder that reads them.

    Raises:
        DataError: the column is empty or its first cell cannot be used.
    """
    for row, cell in table.distinct(column):
        try:
            return modality.vector_width(cell, table.folder, options)
        except DataError as error:
            raise DataError(f"{table.where(row)}, column '{column}': {error}") from error
    raise DataError(f"{table.path}: the column '{column}' is empty, so the width of its vectors is unknown.")
