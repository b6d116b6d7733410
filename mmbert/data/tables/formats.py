"""The formats of tables by the ending of their file: CSV, TSV, JSONL, Parquet, Excel.

All are read exactly, in batches, and with line numbers for messages where there are lines. Text stays text; JSONL and
Parquet keep their types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mmbert.data.tables.delimited import Delimited
from mmbert.data.tables.excel import Excel
from mmbert.data.tables.json_lines import JsonLines
from mmbert.data.tables.parquet import Parquet
from mmbert.data.tables.reading import written_as


class Format(Protocol):
    """One way to keep a table in a file."""

    def schema(self, path: Path) -> pa.Schema:
        """The columns and their types."""
        ...

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """The rows in order, BATCH_ROWS or fewer at a time."""
        ...

    def line(self, path: Path, row: int) -> int | None:
        """The line, from 1, on which a row (from 0) begins; None where the format knows no lines."""
        ...

    def hidden(self, path: Path) -> dict[str, str]:
        """The types of columns that cannot be read, by name; the others can."""
        ...

    def notes(self, path: Path) -> list[str]:
        """What was guessed of the file, a sentence each."""
        ...


FORMATS: dict[str, Format] = {
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
    ".parquet": Parquet(),
    ".xlsx": Excel(),
}


def read_cells(path: Path, rows: Iterable[int], columns: Iterable[str]) -> dict[int, dict[str, Any]]:
    """The cells of some rows, read anew from the file: for who looks at few of them once.

    Args:
        path: the table.
        rows: numbers from 0; those that the table does not have are left out.
        columns: those that the table does not have are left out.

    Raises:
        DataError: the file cannot be read.
    """
    reader, wanted, start = FORMATS[path.suffix.lower()], sorted(set(rows)), 0
    schema = reader.schema(path)
    names = {column: name for column in columns if (name := written_as(column, schema.names)) is not None}
    found: dict[int, dict[str, Any]] = {}
    for batch in reader.batches(path, schema):
        here = [row for row in wanted if start <= row < start + len(batch)]
        if here:
            cells = batch.select(list(dict.fromkeys(names.values()))).take([row - start for row in here]).to_pylist()
            found |= {r: {c: row[n] for c, n in names.items()} for r, row in zip(here, cells, strict=True)}
        start += len(batch)
    return found
