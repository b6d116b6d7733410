"""A table of samples: CSV, TSV, JSONL or Parquet, memory-mapped, with rows that can be named in a message.

Text formats are read as text: a cell that says ``NA``, ``null`` or ``007`` is just that, and only an empty cell is
empty. JSONL and Parquet keep their types; null and the empty string are empty there.

Row numbers in messages count data rows from 1, a header not included; ``Batch.rows`` counts the same rows from 0.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError, nearest

READERS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}


class Table:
    """Columns of cells, on disk.

    Args:
        path: the file; its ending says the format.

    Raises:
        DataError: there is no such file, or it cannot be read as its ending says.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._table = open_arrow(self.path)
        self.column_names: list[str] = list(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def has_column(self, name: str) -> bool:
        """Whether the table has a column of this name."""
        return name in self.column_names

    def require(self, column: str, why: str = "") -> None:
        """Refuses a column that is not there.

        Args:
            column: its name.
            why: a sentence on what asked for it and how not to.

        Raises:
            DataError: the table has no such column; the message offers the nearest.
        """
        if not self.has_column(column):
            hint = nearest(column, self.column_names).replace("Choices:", "Columns:")
            raise DataError(" ".join(f"{self.path} has no column '{column}'. {hint} {why}".split()))

    def cell(self, row: int, column: str) -> Any:
        """One cell, None if it is empty. row counts from 0."""
        value = self._table.column(column)[row].as_py()
        return None if is_empty(value) else value

    def column(self, name: str, rows: Sequence[int] | None = None) -> list[Any]:
        """The cells of a column, None where empty; of all rows or of those given."""
        self.require(name)
        values = self._table.column(name)
        if rows is not None:
            values = values.take(pa.array(rows, pa.int64()))
        return [None if is_empty(value) else value for value in values.to_pylist()]

    def empty(self, column: str) -> pa.ChunkedArray:
        """(rows,) bool: which cells of a column are empty."""
        values = self._table.column(column)
        gone = pc.is_null(values)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), True)
            gone = pc.or_(gone, blank)
        return gone

    def rows_where(self, column: str, value: str) -> list[int]:
        """The rows, from 0, whose cell says ``value``; numbers are compared by their text."""
        self.require(column)
        cells = pc.cast(self._table.column(column), pa.string())
        return [int(i) for i in pc.indices_nonzero(pc.fill_null(pc.equal(cells, value), False)).to_pylist()]

    def distinct(self, column: str) -> list[Any]:
        """The different cells of a column, in order of appearance, empty ones left out."""
        self.require(column)
        return [value for value in pc.unique(self._table.column(column)).to_pylist() if not is_empty(value)]

    def where(self, row: int) -> str:
        """How messages name a row: the file and the data row, counted from 1."""
        return f"{self.path}, row {row + 1}"


def is_empty(value: Any) -> bool:
    """None, NaN, and text of nothing but spaces."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and value != value)


def open_arrow(path: Path) -> pa.Table:
    """The file as a memory-mapped Arrow table, through the cache of the ``datasets`` library."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; data.path must name a table in it (.csv, .tsv, .jsonl or .parquet).")
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir() if p.suffix in READERS] if path.parent.is_dir() else []
        raise DataError(f"{path}: there is no such file. {nearest(path.name, siblings)}".strip())
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: tables end in {', '.join(READERS)}.")
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(reader, data_files=str(path.absolute()), split="train", **options(path, reader))
    except DataError:
        raise
    except Exception as error:  # pandas, pyarrow and datasets each have their own
        cause = error.__cause__ or error
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {cause}") from error
    if not len(loaded):
        raise DataError(f"{path} has no rows.")
    return loaded.data.table


def options(path: Path, reader: str) -> dict[str, Any]:
    """Arguments that make a text table be read as text and nothing else."""
    if reader != "csv":
        return {}
    import datasets

    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=separator), [])
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called '{twice}': rename one.")
    features = datasets.Features({name: datasets.Value("string") for name in header})
    return {"sep": separator, "features": features, "keep_default_na": False, "na_values": [], "encoding": "utf-8-sig"}
