"""How CSV, TSV, JSONL and Parquet files are read: exactly, in batches, and with line numbers for messages.

CSV and TSV are read as text and nothing else: a cell that says ``NA``, ``null`` or ``007`` is just that. Every row must
have as many cells as the header, so that a stray comma is an error and never shifts cells into other columns. JSONL and
Parquet keep their types.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mmbert.core.errors import DataError

#: Rows that are held in memory while a file is read.
BATCH_ROWS = 10_000
#: The longest cell of a CSV or TSV file, in characters; Python's own limit is 131,072.
LONGEST_CELL = 2**31 - 1


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


class Delimited:
    """CSV and TSV: a header, then text; cells with separators, quotes or line ends in them stand in double quotes.

    Args:
        separator: what stands between two cells.
    """

    def __init__(self, separator: str) -> None:
        self.separator = separator

    def schema(self, path: Path) -> pa.Schema:
        """Every column is text. Columns without a name cannot be asked for and are left out."""
        names = [name for name in self._header(path) if name]
        if not names:
            raise DataError(f"{path} is empty: its first line must name the columns.")
        return pa.schema([(name, pa.string()) for name in distinct_names(path, names)])

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """The empty string is null.

        Raises:
            DataError: a row has more or fewer cells than the header, or the file is broken.
        """
        header = self._header(path)
        records = self._records(path)
        next(records)
        numbered = (checked(path, row, line, cells, len(header)) for row, (line, cells) in enumerate(records))
        while batch := list(islice(numbered, BATCH_ROWS)):
            columns = dict(zip(header, zip(*batch, strict=True), strict=True))
            yield pa.table([[cell or None for cell in columns[name]] for name in schema.names], schema=schema)

    def line(self, path: Path, row: int) -> int | None:
        """Counts every line of the file, so that an editor finds it; a cell may span several."""
        return next(islice((line for line, _ in self._records(path)), row + 1, None), None)

    def _header(self, path: Path) -> list[str]:
        return next((cells for _, cells in self._records(path)), [])

    def _records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """(first line, cells) of every record, the header too; blank lines are none."""
        with reading(path), path.open(encoding="utf-8-sig", newline="") as file, long_cells():
            reader = csv.reader(file, delimiter=self.separator, strict=True)
            line = 1
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"{path}, line {line}: {error}. A cell that holds the separator, a line end or a quotation mark "
                    'stands in quotation marks, and a mark within it is doubled: "say ""hello"", please".'
                ) from error


class JsonLines:
    """One JSON object a line. A column's type is the one that fits all of its cells; mixed ones become text."""

    def schema(self, path: Path) -> pa.Schema:
        """Reads the whole file: what the first rows lack may come later."""
        types: dict[str, pa.DataType] = {}
        for batch in in_batches(self._objects(path)):
            for name in dict.fromkeys(key for item in batch for key in item):
                kind = type_of([item.get(name) for item in batch])
                types[name] = kind if name not in types else common_type(types[name], kind)
        return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()])

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """A key that a row lacks is null."""
        for batch in in_batches(self._objects(path)):
            columns = []
            for field in schema:
                cells = [item.get(field.name) for item in batch]
                if pa.types.is_string(field.type):
                    cells = [None if cell is None else as_text(cell) for cell in cells]
                columns.append(pa.array(cells, field.type))
            yield pa.table(columns, schema=schema)

    def line(self, path: Path, row: int) -> int | None:
        """Blank lines count as lines and not as rows."""
        return next(islice((line for line, _ in self._lines(path)), row, None), None)

    def _lines(self, path: Path) -> Iterator[tuple[int, str]]:
        with reading(path), path.open(encoding="utf-8-sig", newline="\n") as file:
            for number, text in enumerate(file, 1):
                if text.strip():
                    yield number, text

    def _objects(self, path: Path) -> Iterator[dict[str, Any]]:
        for number, text in self._lines(path):
            try:
                item = json.loads(text)
                if "\\ud" in text.lower():  # an escape may spell half of a surrogate pair, which no text can hold
                    json.dumps(item, ensure_ascii=False).encode()
            except ValueError as error:
                reason = (
                    f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
                )
                raise DataError(f"{path}, line {number} is no JSON: {reason}. Write one {{...}} a line.") from error
            if not isinstance(item, dict):
                raise DataError(
                    f"{path}, line {number} is no JSON object: write one {{...}} a line, its keys the columns."
                )
            yield item


class Parquet:
    """Apache Parquet. Categories are read as what they stand for."""

    def schema(self, path: Path) -> pa.Schema:
        """The file's own, without what other libraries noted in it."""
        from pyarrow import parquet

        with reading(path):
            stored = parquet.read_schema(path)
        distinct_names(path, stored.names)
        return pa.schema([(field.name, plain_type(field.type)) for field in stored])

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """The file's rows."""
        from pyarrow import parquet

        with reading(path), parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield pa.Table.from_batches([batch]).cast(schema)

    def line(self, path: Path, row: int) -> int | None:
        """Parquet has no lines."""
        return None


FORMATS: dict[str, Format] = {
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".jsonl": JsonLines(),
    ".ndjson": JsonLines(),
    ".parquet": Parquet(),
}


def checked(path: Path, row: int, line: int, cells: list[str], width: int) -> list[str]:
    """A record's cells if there are as many as columns; empty ones after the last column are let go."""
    if len(cells) > width and not any(cells[width:]):
        cells = cells[:width]
    if len(cells) != width:
        raise DataError(
            f"{path}, {row_name(row, line)} has {len(cells)} cells, but the header has {width} columns. "
            "Put a cell that holds the separator or a line end in quotation marks; an empty cell keeps its separator."
        )
    return cells


def row_name(row: int, line: int | None) -> str:
    """How messages name a row: data rows counted from 1, and the line of the file for text formats."""
    return f"row {row + 1}" if line is None else f"row {row + 1} (line {line})"


def distinct_names(path: Path, names: list[str]) -> list[str]:
    """The names, if none occurs twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path} has two columns called '{twice}': rename one.")
    return names


def in_batches(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """BATCH_ROWS or fewer at a time."""
    while batch := list(islice(items, BATCH_ROWS)):
        yield batch


def type_of(cells: Iterable[Any]) -> pa.DataType:
    """The type that keeps every cell as it is; text where there is none."""
    present = [cell for cell in cells if cell is not None]
    kinds = {type(cell) for cell in present}
    if len(kinds) > 1 and kinds != {int, float}:  # Arrow would make 1 of True
        return pa.string()
    try:
        return pa.array(present, pa.float64() if len(kinds) > 1 else None).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # lists of mixed things, integers beyond 64 bits
        return pa.string()


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """A type that holds the cells of both; text where there is none."""
    schemas = [pa.schema([("cell", kind)]) for kind in (first, second)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field("cell").type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def as_text(cell: Any) -> str:
    """A JSON value as text: strings as they are, others as JSON writes them."""
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What a dictionary column stands for; text views become text."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    is_view: Callable[[pa.DataType], bool] = pa.types.is_string_view
    return pa.string() if is_view(kind) or pa.types.is_null(kind) else kind


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns errors while a file is read into a ``DataError`` that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start} of a block: {error.reason}). Save it as UTF-8."
        ) from error
    except PermissionError as error:
        raise DataError(f"{path}: this user may not read it (permission denied).") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:].upper()}: {error}") from error


@contextmanager
def long_cells() -> Iterator[None]:
    """Lets the csv module read texts of any length."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
