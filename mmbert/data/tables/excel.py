"""Excel workbooks (.xlsx) as tables: the first sheet, whose first row names the columns, read as text like CSV.

Reads the values that Excel computed, by openpyxl, the extra ``excel``.
"""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmbert.core.errors import ConfigError, DataError, MmbertError
from mmbert.data.tables.reading import bare_name, distinct_names, in_batches, reading

#: The last row that Excel has, and how much a workbook may unpack to.
LAST_ROW = 1_048_576
UNPACKED_BYTES = 2**30


class Excel:
    """The first sheet that is not hidden. Rows without any value are none, as blank lines are in CSV."""

    def schema(self, path: Path) -> pa.Schema:
        """Every column is text. Columns without a name cannot be asked for and are left out."""
        names = [name for name in self._header(path) if name]
        if not names:
            raise DataError(f"{path} is empty: the first row of its first sheet must name the columns.")
        return pa.schema([(name, pa.string()) for name in distinct_names(path, names)])

    def batches(self, path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
        """The empty cell is null."""
        header = self._header(path)
        places = {name: place for place, name in enumerate(header) if name}
        rows = self._rows(path)
        next(rows)
        for batch in in_batches(cells for _, cells in rows):
            full = [[*cells, *[""] * (len(header) - len(cells))] for cells in batch]
            yield pa.table([[cells[places[name]] or None for cells in full] for name in schema.names], schema=schema)

    def line(self, path: Path, row: int) -> int | None:
        """The sheet's own number of the row."""
        return next(islice((line for line, _ in self._rows(path)), row + 1, None), None)

    def hidden(self, path: Path) -> dict[str, str]:
        """None: every column is text."""
        return {}

    def notes(self, path: Path) -> list[str]:
        """Which sheet is read, where there are several."""
        with workbook(path) as book:
            first, others = first_sheet(book), [sheet.title for sheet in book.worksheets]
        others.remove(first.title)
        if not others:
            return []
        return [f"{path.name}: the sheet '{first.title}' is read, and not {', '.join(map(repr, others))}: put it first"]

    def _header(self, path: Path) -> list[str]:
        return next(([bare_name(cell) for cell in cells] for _, cells in self._rows(path)), [])

    def _rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """(number in the sheet, cells as text) of every row that has a value, the header too."""
        with workbook(path) as book:
            sheet = first_sheet(book)
            sheet.reset_dimensions()  # programs other than Excel write wrong ones
            for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
                if number > LAST_ROW:
                    raise ValueError(f"it claims to have a row beyond {LAST_ROW:,}, the last that Excel has")
                cells = [value_text(value) for value in values]
                if any(cells):
                    yield number, cells


@contextmanager
def workbook(path: Path) -> Iterator[Any]:
    """The file, open for reading row by row.

    Raises:
        ConfigError: openpyxl is not installed.
        DataError: the file is no workbook, or broken.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise ConfigError(
            f"{path}: Excel files are read by the extra excel: pip install 'mmbert[excel]'. Or save the sheet as CSV."
        ) from error
    book = None
    try:
        with reading(path):
            refuse_huge(path)
            with warnings.catch_warnings(action="ignore"):  # of decorations that openpyxl does not know
                book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            yield book
    except MmbertError:
        raise
    except Exception as error:  # zipfile, xml and openpyxl raise whatever a broken file makes them meet
        raise DataError(
            f"{path} cannot be read as XLSX: {error or type(error).__name__}. It must be a workbook that is saved as "
            ".xlsx without a password."
        ) from error
    finally:
        if book is not None:
            book.close()


def refuse_huge(path: Path) -> None:
    """Refuses a workbook that unpacks to more than UNPACKED_BYTES; openpyxl holds all of its texts in memory.

    Raises:
        ValueError: says how large it is.
        zipfile.BadZipFile: it is no workbook.
    """
    with zipfile.ZipFile(path) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > UNPACKED_BYTES:
        raise ValueError(
            f"it unpacks to {size / 2**30:.1f} GiB, more than is read of a workbook; save the sheet as CSV"
        )


def first_sheet(book: Any) -> Any:
    """The first sheet with cells that is not hidden; the first at all where every one is."""
    sheets = book.worksheets
    if not sheets:
        raise ValueError("it has no sheet with cells")
    return next((sheet for sheet in sheets if sheet.sheet_state == "visible"), sheets[0])


def value_text(value: Any) -> str:
    """A cell's value as text: 7 for 7.0, TRUE and FALSE as Excel writes them, dates and times in ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime):
        return str(value.date() if value.time() == datetime.time() else value)
    return str(value)
