"""CSV and TSV tables: a header, then text and nothing else.

A cell that says ``NA``, ``null`` or ``007`` is just that. Every row must have as many cells as the header, so that a
stray comma is an error and never shifts cells into other columns. What separates the cells is read from the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.data.tables.reading import bare_name, distinct_names, in_batches, reading, row_name

#: The longest cell of a CSV or TSV file, in characters; Python's own limit is 131,072.
LONGEST_CELL = 2**31 - 1
#: What may separate cells, and what it is called.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
#: The first line of some files of Excel's, which says what separates the cells of the others.
HINT = re.compile(r"sep=([^\w\s\"]|\t)\r?\n")
#: Characters and rows by which a file's separator is recognised.
SNIFFED_CHARACTERS, SNIFFED_ROWS = 2**20, 200


class Delimited:
    """CSV and TSV: a header, then text; cells with separators, quotes or line ends in them stand in double quotes.

    Args:
        separator: what stands between two cells where the file does not show another.
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
        for batch in in_batches(numbered):
            columns = dict(zip(header, zip(*batch, strict=True), strict=True))
            yield pa.table([[cell or None for cell in columns[name]] for name in schema.names], schema=schema)

    def line(self, path: Path, row: int) -> int | None:
        """Counts every line of the file, so that an editor finds it; a cell may span several."""
        return next(islice((line for line, _ in self._records(path)), row + 1, None), None)

    def hidden(self, path: Path) -> dict[str, str]:
        """None: every column is text."""
        return {}

    def notes(self, path: Path) -> list[str]:
        """Which separator was recognised, if it is not the one that the file's ending names."""
        found = self.separator_of(path)
        if found == self.separator:
            return []
        usual, other = SEPARATORS[self.separator], SEPARATORS.get(found, repr(found))
        return [f"{path.name}: its cells are separated by {other}, not by {usual}, and are read so"]

    def separator_of(self, path: Path) -> str:
        """What separates the cells, by the header and the first rows.

        What Excel's first line ``sep=;`` says. Else the usual separator, unless it leaves the header whole or rows
        disagree with it, and another one does better: it parts the header, and more than half of the rows (all, where
        the usual one parts the header too) have as many cells. Of several the one that makes most columns.
        """
        with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(SNIFFED_CHARACTERS)
        usual = self.separator
        if (hint := HINT.match(text)) is not None:
            return hint[1]
        records = first_records(text, usual)
        parted = len(records[0]) > 1 if records else False
        if parted and agreement(records) == 1:
            return usual
        widths = {usual: 0}
        for separator in SEPARATORS:
            records = first_records(text, separator)
            share = agreement(records)
            if records and len(records[0]) > 1 and (share == 1 if parted else share > 0.5):
                widths[separator] = len(records[0])
        return max(widths, key=lambda separator: widths[separator])

    def _header(self, path: Path) -> list[str]:
        return next(([bare_name(cell) for cell in cells] for _, cells in self._records(path)), [])

    def _records(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """(first line, cells) of every record, the header too; blank lines are none."""
        separator = self.separator_of(path)
        with reading(path), path.open(encoding="utf-8-sig", newline="") as file, long_cells():
            reader = csv.reader(file, delimiter=separator, strict=True)
            line = 1
            try:
                for cells in reader:
                    if cells and not (line == 1 and HINT.fullmatch(separator.join(cells) + "\n")):
                        yield line, cells
                    line = reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"{path}, line {line}: {error}. A cell that holds the separator, a line end or a quotation mark "
                    'stands in quotation marks, and a mark within it is doubled: "say ""hello"", please".'
                ) from error


def first_records(text: str, separator: str) -> list[list[str]]:
    """The header and the first rows of a file's beginning, as a separator would part them; blank lines are none."""
    records: list[list[str]] = []
    with long_cells(), suppress(csv.Error):  # whoever reads the whole file says what is wrong with it
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            if cells:
                records.append(cells)
            if len(records) > SNIFFED_ROWS:
                return records
    # the last one is perhaps not whole, where the beginning is not the whole file
    return records[:-1] if len(text) == SNIFFED_CHARACTERS and len(records) > 1 else records


def agreement(records: Sequence[list[str]]) -> float:
    """The share of rows that have as many cells as the header, the first record; 1 where there are no rows."""
    if len(records) < 2:
        return 1.0
    width = len(records[0])
    return sum(len(cells) >= width and not any(cells[width:]) for cells in records[1:]) / (len(records) - 1)


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


@contextmanager
def long_cells() -> Iterator[None]:
    """Lets the csv module read texts of any length."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
