"""The formats of tables by the ending of their file: CSV, TSV, JSONL, Parquet, Excel.

All are read exactly, in batches, and with line numbers for messages where there are lines. Text stays text; JSONL and
Parquet keep their types.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mmbert.data.tables.delimited import Delimited
from mmbert.data.tables.excel import Excel
from mmbert.data.tables.json_lines import JsonLines
from mmbert.data.tables.parquet import Parquet


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
