"""Parquet tables. Columns of types that nothing here can use are left out, and named when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.data.tables.arrow_types import readable_type
from mmbert.data.tables.reading import BATCH_ROWS, distinct_names, reading


class Parquet:
    """Apache Parquet. Categories are read as what they stand for."""

    def schema(self, path: Path) -> pa.Schema:
        """The file's own, without what other libraries noted in it, and without the columns that are ``hidden``."""
        stored = self._stored(path)
        distinct_names(path, stored.names)
        kinds = {field.name: readable_type(field.type) for field in stored}
        schema = pa.schema([(name, kind) for name, kind in kinds.items() if kind is not None])
        if not schema.names:
            found = ", ".join(f"'{field.name}' ({field.type})" for field in stored)
            raise DataError(f"{path} has no column that can be read: {found or 'it has none at all'}.")
        return schema

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """The file's rows."""
        from pyarrow import parquet

        every = self._stored(path).names == schema.names
        with reading(path), parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=None if every else schema.names):
                yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)

    def line(self, path: Path, row: int) -> int | None:
        """Parquet has no lines."""
        return None

    def hidden(self, path: Path) -> dict[str, str]:
        """Maps, unions and what is made of them."""
        return {field.name: str(field.type) for field in self._stored(path) if readable_type(field.type) is None}

    def notes(self, path: Path) -> list[str]:
        """None: nothing is guessed."""
        return []

    def _stored(self, path: Path) -> pa.Schema:
        from pyarrow import parquet

        with reading(path):
            return parquet.read_schema(path)
