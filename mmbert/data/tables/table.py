"""``Table``: samples in a CSV, TSV, JSONL, Parquet or Excel file, memory-mapped, with rows that messages can name.

The format's own file says how it is read (``formats.py``), and ``cells.py`` which cells are empty and which are equal.

Row numbers in messages count data rows from 1, a header not included, and text formats add the line of the file:
``row 17 (line 19)``. ``Batch.rows`` and every ``row`` in code count the same rows from 0.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.data.tables.cells import cell_key, column_keys, is_blank, is_empty, without_words
from mmbert.data.tables.derived_columns import ColumnsTogether, DerivedColumn, Pair
from mmbert.data.tables.fingerprint import file_fingerprint
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.opening import arrow_files, only_path
from mmbert.data.tables.reading import row_name, written_as

#: Cells that become Python objects at a time while a column is checked.
SLICE = 65_536

#: What the ``datasets`` library keeps of a picture or a sound, and which part of it is meant (``Span``).
MEDIA = ("bytes", "path", "start", "end")

#: Row numbers, from 0.
Rows = Sequence[int] | np.ndarray


class Table:
    """Columns of cells, on disk. Memory holds the cells that are asked for; pickling keeps the file's name alone.

    Args:
        path: the file; its ending gives the format.

    Raises:
        ConfigError: the path is no single one.
        DataError: there is no such file, or it cannot be read in the format of its ending.
    """

    #: words that count as empty cells; see ``take_for_empty``
    _no_cells: tuple[Any, ...] = ()
    #: columns that are made of others; see ``add``
    _derived: tuple[DerivedColumn, ...] = ()

    def __init__(self, path: str | Path) -> None:
        self.path = only_path(path)
        self._files = arrow_files(self.path)
        self._map()

    def _map(self) -> None:
        parts = [pa.ipc.open_stream(pa.memory_map(name)).read_all() for name in self._files]
        self._columns: dict[str, pa.ChunkedArray] = dict(
            zip(parts[0].column_names, pa.concat_tables(parts).columns, strict=True)
        )
        self.column_names: list[str] = list(self._columns)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._map()

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (type(self), self.__getstate__(), self._no_cells, self._derived)

    def take_for_empty(self, words: Any) -> None:
        """From now on cells that are equal to the word, or one of the words, are empty, whatever their capitals."""
        words = list(words) if isinstance(words, Iterable) and not isinstance(words, str) else [words]
        if not words:
            return
        self._no_cells = (*self._no_cells, *words)
        self._columns = {name: without_words(values, words) for name, values in self._columns.items()}

    def add(self, derived: DerivedColumn) -> str:
        """Adds a column that is made of others, and returns its name."""
        if derived not in self._derived:
            self._derived = (*self._derived, derived)
            self._columns[derived.name] = derived.cells(self)
        return derived.name

    def pair_in(self, column: str) -> tuple[str, str] | None:
        """The two columns that a ``Pair`` holds; None = the column is another."""
        pairs = [each for each in self._derived if isinstance(each, Pair)]
        return next(((each.before, each.text) for each in pairs if each.name == column), None)

    def record_in(self, column: str) -> tuple[str, ...] | None:
        """The columns of which a ``ColumnsTogether`` has the cells; None = the column is another."""
        records = [each for each in self._derived if isinstance(each, ColumnsTogether)]
        return next((each.columns for each in records if each.name == column), None)

    @property
    def folder(self) -> Path:
        """Which the names of files in cells are relative to."""
        return self.path.parent

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the file's content."""
        return file_fingerprint(self.path)

    @property
    def notes(self) -> list[str]:
        """What was guessed as the file was read, and what of it was not read, a sentence each."""
        return FORMATS[self.path.suffix.lower()].notes(self.path)

    def has_column(self, name: str) -> bool:
        """Whether the table has a column of this name; see ``written_name``."""
        return self.written_name(name) in self._columns

    def written_name(self, name: str) -> str:
        """The name as the file spells it: blanks around it do not count, nor whether its accents are composed.

        Raises:
            ConfigError: it is no text, as YAML reads ``123`` and ``true``.
        """
        if not isinstance(name, str):
            raise ConfigError(
                f"{self.path}: {name} is meant to name a column, and is read as a number or a truth value: put quotes "
                f'around it where it is written ("{name}").'
            )
        return name if name in self._columns else written_as(name, self._columns) or name

    def require(self, column: str, why: str = "") -> None:
        """Refuses a column that is not there.

        Args:
            column: its name.
            why: a sentence on what asked for it and how not to.

        Raises:
            DataError: the table has no such column; the message offers the nearest.
        """
        if not self.has_column(column):
            if (kind := self._hidden().get(column)) is not None:
                raise DataError(f"{self.path}: the column '{column}' cannot be read: its type is {kind}. {why}".strip())
            hint = nearest(column, self.column_names).replace("Choices:", "Columns:")
            raise DataError(" ".join(f"{self.path} has no column '{column}'. {hint} {why}".split()))

    def cell(self, row: int, column: str) -> Any:
        """One cell, None if it is empty. row counts from 0."""
        value = self.written(row, column)
        return None if is_empty(value) else value

    def written(self, row: int, column: str) -> Any:
        """What is written in a cell, blanks included. row counts from 0."""
        return self._columns[self.written_name(column)][row].as_py()

    def column(self, name: str, rows: Rows | None = None) -> list[Any]:
        """The cells of a column, None where empty; of all rows or of those given."""
        values = self.values(name, rows)
        if pa.types.is_string(values.type):  # equal texts become one object: 200,000 labels are often a dozen words
            encoded = values.combine_chunks().dictionary_encode()
            words = [None if is_empty(word) else word for word in [*encoded.dictionary.to_pylist(), None]]
            codes = pc.fill_null(encoded.indices, len(words) - 1).to_numpy()
            return [words[code] for code in codes]
        return [None if is_empty(value) else value for value in values.to_pylist()]

    def empty(self, column: str) -> np.ndarray:
        """(rows,) bool: which cells of a column are empty."""
        values = self.values(column)
        gone = pc.is_null(values, nan_is_null=True)
        if is_binary(values.type):
            gone = pc.or_kleene(gone, pc.equal(pc.binary_length(values), 0))
        elif self.is_media(column):
            there = [field.name for field in values.type if field.name in ("bytes", "path")]
            parts = [pc.is_null(pc.struct_field(values, name)) for name in there]
            gone = pc.or_kleene(gone, functools.reduce(pc.and_, parts))
        if self.is_text(column):
            gone = pc.or_kleene(gone, is_blank(values))
        return np.asarray(gone.to_numpy(), bool)

    def is_text(self, column: str) -> bool:
        """Whether the cells of a column are text."""
        kind = self.values(column).type
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def is_media(self, column: str) -> bool:
        """Whether the cells are pictures or sounds themselves: bytes, or ``{"bytes": ..., "path": ...}``."""
        kind = self.values(column).type
        if is_binary(kind):
            return True
        names = {field.name for field in kind} if pa.types.is_struct(kind) else set()
        return "bytes" in names and names <= set(MEDIA)

    def streams(self, column: str) -> bool:
        """Whether the cells' content lies elsewhere, in blocks: ``mmbert.data.streaming``."""
        return False

    def content_names(self, column: str) -> list[str | None]:
        """Names of the files that the content of a column's cells was; None = it is not known without reading it."""
        return [None] * len(self)

    def content_keys(self, column: str, rows: Rows) -> np.ndarray | None:
        """(n, 2) uint64: the ``content_key`` of cells, where it is known without reading it; None = it is not."""
        return None

    def sizes(self, column: str, rows: Rows) -> np.ndarray | None:
        """(n,) float64: bytes of the content of cells, where they are known without reading it; None = they are not."""
        return None

    def shared(self, column: str, first: Rows, second: Rows) -> int:
        """How many of the second rows have a cell, not empty, that one of the first rows has too."""
        cells = self._keys(column, self.values(column, second))
        numbers, found = np.asarray(first, np.int64), np.zeros(len(second), bool)
        for start in range(0, len(numbers), SLICE):  # a hash table of all rows would outweigh the rest of a run
            part = self._keys(column, self.values(column, numbers[start : start + SLICE]))
            found |= np.asarray(pc.is_in(cells, part).to_numpy(), bool)
        return int((found & np.asarray(pc.is_valid(cells).to_numpy(), bool)).sum())

    def rows_where(self, column: str, value: Any) -> np.ndarray:
        """(n,) int64: the rows, from 0, whose cell is equal to ``value``.

        Raises:
            DataError: there is no such column, or its cells are lists or structures.
        """
        same = pc.equal(self._keys(column, self._plain_values(column)), cell_key(value))
        return pc.indices_nonzero(pc.fill_null(same, False)).to_numpy().astype(np.int64)

    def distinct(self, column: str, rows: Rows | None = None) -> Iterator[tuple[int, Any]]:
        """Each different cell of a column, empty ones left out, with the first row that has it, in order of rows.

        A column of very many different cells may give one twice: memory is not spent on remembering them all.
        """
        seen: set[Any] = set()
        numbers = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        for start in range(0, len(numbers), SLICE):
            part = numbers[start : start + SLICE]
            values = self.values(column, part)
            if pa.types.is_nested(values.type):
                firsts = np.arange(len(part))
            else:  # Arrow numbers the cells as they appear: a column of few classes costs next to nothing
                codes = values.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
                firsts = np.unique(codes, return_index=True)[1]
            for place, value in zip(firsts, values.take(pa.array(firsts)).to_pylist(), strict=True):
                key = repr(value) if isinstance(value, (list, dict)) else value
                if is_empty(value) or key in seen:
                    continue
                if len(seen) < SLICE:
                    seen.add(key)
                yield int(part[place]), value

    def codes(self, column: str, rows: Rows | None = None) -> np.ndarray:
        """(n,) int64: equal numbers, equal cells; -1 where empty.

        Raises:
            DataError: there is no such column, or its cells are lists or structures.
        """
        return self.coded(column, rows)[0]

    def coded(self, column: str, rows: Rows | None = None) -> tuple[np.ndarray, list[str]]:
        """``codes``, in the order in which the cells first appear, and the key of each."""
        encoded = pc.dictionary_encode(self._keys(column, self._plain_values(column, rows))).combine_chunks()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, encoded.dictionary.to_pylist()

    def where(self, row: int) -> str:
        """How messages name a row, given from 0: ``manifest.csv, row 17 (line 19)``."""
        line = FORMATS[self.path.suffix.lower()].line(self.path, row)
        return f"{self.path}, {row_name(row, line)}"

    def _hidden(self) -> dict[str, str]:
        """Types of columns that cannot be read, by name."""
        return FORMATS[self.path.suffix.lower()].hidden(self.path)

    def _keys(self, column: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """``column_keys``; a cell that is no text is an error that names the table and the column."""
        try:
            return column_keys(values)
        except DataError as error:
            raise DataError(f"{self.path}, column '{column}': {error}") from error

    def _plain_values(self, name: str, rows: Rows | None = None) -> pa.ChunkedArray:
        values = self.values(name, rows)
        if pa.types.is_nested(values.type):
            raise DataError(f"{self.path}: the cells of '{name}' are {values.type}, where a word or number is needed.")
        return values

    def values(self, name: str, rows: Rows | None = None) -> pa.ChunkedArray:
        """A column as Arrow has it, empty cells as they are; of all rows or of those given.

        Raises:
            DataError: there is no such column.
        """
        self.require(name)
        values = self._columns[self.written_name(name)]
        return values if rows is None else values.take(pa.array(np.asarray(rows, np.int64)))


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def unpickled(
    kind: type[Table], state: dict[str, Any], no_cells: Sequence[Any], derived: Sequence[DerivedColumn] = ()
) -> Table:
    """The table that was pickled, its columns mapped anew."""
    table = kind.__new__(kind)
    table.__setstate__(state)
    if no_cells:
        table.take_for_empty(no_cells)
    for column in derived:
        table.add(column)
    return table
