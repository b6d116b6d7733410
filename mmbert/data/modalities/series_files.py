"""Files of series as columns: CSV and TSV, Parquet, .npy and .npz. What a file is, its first bytes say.

Columns are numbers (float64, NaN where a cell is empty), moments (datetime64[ns]), or words, which no series is made of
and of which one is kept for messages. Nothing in a file is ever run.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError
from mmbert.data.modalities.feature_files import MOST_NUMBERS, read_npy, read_npz
from mmbert.data.tables.delimited import SEPARATORS, agreement, first_records
from mmbert.data.tables.reading import bare_name

#: Bytes of the largest file; in float64 its numbers take a few times as many.
MOST_FILE_BYTES = 2**30
#: Bytes of numbers of files that were read last, kept for further parts of them.
KEPT_BYTES = 2**26
#: Characters by which the separator of a file's cells is recognised.
SNIFFED_CHARACTERS = 2**16
#: What stands for an empty cell, in small letters.
EMPTY_WORDS = pa.array(["", "na", "n/a", "nan", "-nan", "null", "none"])
#: The same as they are usually written; a cell that is written otherwise is known when it is read as text.
EMPTY_SPELLINGS = sorted({write(word) for word in EMPTY_WORDS.to_pylist() for write in (str, str.upper, str.title)})
WRITTEN_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
OTHER_CONTENT = "it is neither CSV or TSV in UTF-8 nor Parquet, .npy or .npz"
#: What pyarrow says of a row with another number of cells.
OTHER_WIDTH = re.compile(r"Expected (\d+) columns, got (\d+)")


@dataclass(frozen=True)
class Words:
    """A column that is no column of numbers.

    Attributes:
        example: its first cell that is no number.
        row: of that cell, from 1.
        mixed: whether other cells are numbers.
    """

    example: str
    row: int
    mixed: bool


#: A column's numbers (n,) float64, its moments (n,) datetime64[ns], or what it is instead.
SeriesColumn = np.ndarray | Words


def read_columns(source: str | Path | BinaryIO) -> dict[str, SeriesColumn]:
    """The columns of a file by name, all of the same length; those of an array without names are called 0, 1, ...

    Raises:
        DataError: it holds no table of columns, or too large a one.
        Exception: whatever a broken file makes its reader meet.
    """
    if isinstance(source, (str, Path)):
        return RECENT.columns(os.fspath(source))
    return columns_in(source.read())


def columns_in(content: bytes) -> dict[str, SeriesColumn]:
    """See ``read_columns``."""
    if len(content) > MOST_FILE_BYTES:
        raise DataError(f"it has {len(content):,} bytes, more than {MOST_FILE_BYTES:,}: divide it")
    if not content:
        raise DataError("it is empty (0 bytes)")
    if content.startswith(b"\x93NUMPY"):
        return columns_of_arrays({"": read_npy(content)})
    if content.startswith(b"PK"):
        return columns_of_arrays(read_npz(content))
    if content.startswith(b"PAR1"):
        return columns_of_parquet(content)
    return columns_of_text(content)


class RecentFiles:
    """The files that were read last, so that a long one whose parts are many samples is not parsed for each."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, int, int, int], dict[str, SeriesColumn]] = OrderedDict()
        self._lock = threading.Lock()

    def columns(self, path: str) -> dict[str, SeriesColumn]:
        """See ``read_columns``; a file that was changed since is read again."""
        state = os.stat(path)
        key = (path, state.st_size, state.st_mtime_ns, state.st_ino)
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
                return self._files[key]
        if state.st_size > MOST_FILE_BYTES:
            raise DataError(f"it has {state.st_size:,} bytes, more than {MOST_FILE_BYTES:,}: divide it")
        found = columns_in(Path(path).read_bytes())
        with self._lock:
            self._files[key] = found
            while len(self._files) > 1 and sum(map(bytes_in, self._files.values())) > KEPT_BYTES:
                self._files.popitem(last=False)
            if bytes_in(found) > KEPT_BYTES:
                self._files.popitem()
        return found

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Elsewhere it begins empty."""
        return RecentFiles, ()


def bytes_in(columns: dict[str, SeriesColumn]) -> int:
    """How much memory columns take."""
    return sum(column.nbytes for column in columns.values() if isinstance(column, np.ndarray))


RECENT = RecentFiles()


def columns_of_arrays(arrays: dict[str, np.ndarray]) -> dict[str, SeriesColumn]:
    """Arrays (n,) are columns of their name; those of arrays (n, C) are counted, after the name of one of several.

    Raises:
        DataError: they have other shapes, lengths that differ, or are no numbers.
    """
    found: dict[str, SeriesColumn] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 2):
            raise DataError(
                f"its array '{name}' has the shape {array.shape} where (rows,) or (rows, columns) is needed"
            )
        numbers = numbers_of_array(name, array)
        if array.ndim == 1 and name:
            found[name] = numbers
            continue
        start = f"{name}." if len(arrays) > 1 else ""
        grid = numbers.reshape(len(numbers), -1)
        found |= {f"{start}{place}": np.ascontiguousarray(grid[:, place]) for place in range(grid.shape[1])}
    lengths = {name: len(column) for name, column in found.items() if isinstance(column, np.ndarray)}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"'{name}' {length}" for name, length in list(lengths.items())[:6])
        raise DataError(f"its arrays have different lengths: {shown}")
    return found


def numbers_of_array(name: str, array: np.ndarray) -> np.ndarray:
    """Whole numbers, floats and truth values as float64; dates as datetime64[ns].

    Raises:
        DataError: it holds something else.
    """
    if array.dtype.kind == "M":
        return array.astype("datetime64[ns]")
    if array.dtype.kind not in "iufb":
        raise DataError(f"its array '{name}' holds values of the type {array.dtype}, not numbers")
    return array.astype(np.float64)


def columns_of_parquet(content: bytes) -> dict[str, SeriesColumn]:
    """The columns of a Parquet file."""
    from pyarrow import parquet

    with parquet.ParquetFile(io.BytesIO(content)) as file:
        check_size(file.metadata.num_rows, file.metadata.num_columns)
        table = file.read()
    return {bare_name(name): parquet_column(table[name]) for name in table.column_names}


def parquet_column(values: pa.ChunkedArray) -> SeriesColumn:
    """A column of Parquet."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return parquet_column(values.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text_column(values)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return moments_of(values)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif not any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    ):
        return Words(str(kind), 1, False)
    return float_column(values.cast(pa.float64(), safe=False))


def float_column(values: pa.ChunkedArray) -> np.ndarray:
    """Arrow's float64 as NumPy's, null as NaN."""
    return np.asarray(values.combine_chunks().to_numpy(zero_copy_only=False), np.float64)


def moments_of(values: pa.ChunkedArray) -> np.ndarray:
    """Arrow's times and dates as datetime64[ns], null as NaT; those with a zone in UTC."""
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = values.cast(pa.timestamp(values.type.unit, "UTC")).cast(pa.timestamp(values.type.unit))
    return np.asarray(values.cast(pa.timestamp("ns")).combine_chunks().to_numpy(zero_copy_only=False), "datetime64[ns]")


def columns_of_text(content: bytes) -> dict[str, SeriesColumn]:
    """The columns of CSV or TSV.

    Raises:
        DataError: it has no header, is no text, or a row has more or fewer cells than the header.
    """
    whole = len(content) < SNIFFED_CHARACTERS  # else the last character is perhaps not
    try:
        text = content.removeprefix(b"\xef\xbb\xbf")[:SNIFFED_CHARACTERS].decode(errors="strict" if whole else "ignore")
    except UnicodeDecodeError as error:
        raise DataError(OTHER_CONTENT) from error
    if "\0" in text:
        raise DataError(OTHER_CONTENT)
    separator, header = header_in(text)
    names = [bare_name(name) for name in header]
    if names and all(re.fullmatch(WRITTEN_NUMBER, name) for name in names):
        raise DataError(f"its first line is numbers ({', '.join(names[:4])}), where the columns must be named")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f"it has two columns called '{twice}': rename one of them")
    try:  # as a rule all cells are numbers, which is four times as fast to read
        numbers = columns_of_cells(content, separator, len(names), pa.float64())
        columns: list[SeriesColumn] = [float_column(column) for column in numbers]
    except pa.ArrowInvalid:
        try:
            texts = columns_of_cells(content, separator, len(names), pa.string())
        except pa.ArrowInvalid as error:
            raise DataError(csv_fault(str(error))) from error
        columns = [text_column(column) for column in texts]
    return {name: column for name, column in zip(names, columns, strict=True) if name}


def columns_of_cells(content: bytes, separator: str, width: int, kind: pa.DataType) -> list[pa.ChunkedArray]:
    """The columns of CSV below its header, all of one type; of numbers, empty cells are null.

    Raises:
        DataError: they are too many.
        ArrowInvalid: a cell is none of this type, or a row has another number of them.
    """
    from pyarrow import csv

    names = [str(place) for place in range(width)]
    table = csv.read_csv(
        io.BytesIO(content),
        read_options=csv.ReadOptions(column_names=names, skip_rows_after_names=1, use_threads=False),
        parse_options=csv.ParseOptions(delimiter=separator),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, kind), strings_can_be_null=False, null_values=EMPTY_SPELLINGS
        ),
    )
    check_size(len(table), width)
    return [table[name] for name in names]


def csv_fault(message: str) -> str:
    """What pyarrow says of a text that it cannot read, in our words."""
    found = OTHER_WIDTH.search(message)
    if found is None:
        return f"it cannot be read as CSV ({message.partition(chr(10))[0]})"
    start, _, row = message.partition(": ")[2].partition(", got ")[2].partition(": ")
    wanted, got = found.groups()
    return f"a row has {got} cells where the first line names {wanted} columns, '{row[:60]}': perhaps the file is cut"


def header_in(text: str) -> tuple[str, list[str]]:
    """What separates the cells, and the header: of commas, semicolons and tabs the first by which all rows are as long.

    Of several that is the one that makes most columns; where there is none, the one that makes the widest header.
    """
    found = {separator: first_records(text, separator) or [[]] for separator in SEPARATORS}

    def fits(separator: str) -> tuple[bool, int]:
        records, width = found[separator], len(found[separator][0])
        return width > 1 and agreement(records) == 1, width

    chosen = max(found, key=fits)
    return chosen, found[chosen][0]


def text_column(values: pa.ChunkedArray) -> SeriesColumn:
    """Cells of text as numbers if all that are filled are; else as moments (ISO 8601); else words."""
    trimmed = pc.utf8_trim_whitespace(values)
    empty = pc.is_in(pc.utf8_lower(trimmed), value_set=EMPTY_WORDS.cast(values.type))
    filled = pc.if_else(empty, pa.scalar(None, values.type), trimmed)
    try:
        return float_column(filled.cast(pa.float64()))
    except pa.ArrowInvalid:
        pass
    for zone in (None, "UTC"):
        try:
            return moments_of(filled.cast(pa.timestamp("ns", zone)))
        except pa.ArrowInvalid:
            continue
    numbers = pc.match_substring_regex(filled, WRITTEN_NUMBER)
    row = int(pc.index(numbers, pa.scalar(False)).as_py())
    return Words(str(filled[row].as_py()), row + 1, bool(pc.any(numbers).as_py()))


def check_size(rows: int, columns: int) -> None:
    """Refuses what takes too much memory.

    Raises:
        DataError: there are more than ``MOST_NUMBERS`` cells.
    """
    if rows * columns > MOST_NUMBERS:
        raise DataError(f"it has {rows:,} rows of {columns:,} columns, more than {MOST_NUMBERS:,} cells: divide it")
