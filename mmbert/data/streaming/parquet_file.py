"""One Parquet file, here or in an object store: its columns, their cells, and which rows have a picture or sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.regular_files import refuse_special
from mmbert.data.streaming.locations import answer_of, attempted, is_address
from mmbert.data.tables.arrow_types import plain_type, readable_type
from mmbert.data.tables.table import MEDIA, is_binary

ReadResult = TypeVar("ReadResult")

#: Bytes of a file's end that are read at once: the footer of most files.
FOOTER_BYTES = 2**18


def read_parquet(name: str, work: Callable[[Any], ReadResult]) -> ReadResult:
    """What a function makes of a ``pyarrow.parquet.ParquetFile``; over a network it is tried again, from the beginning.

    Args:
        name: path or address.
        work: the function.

    Raises:
        DataError: the file is not there, no Parquet, cut, or cannot be read.
    """
    from pyarrow import parquet

    def remote(files: Any, path: str) -> ReadResult:
        with (
            files.open(path, "rb", cache_type="readahead", block_size=FOOTER_BYTES) as source,
            parquet.ParquetFile(source, pre_buffer=True) as file,
        ):
            return work(file)

    try:
        if is_address(name):
            return attempted(name, lambda files, path: damage_raised(name, lambda: remote(files, path)))
        refuse_special(name)
        with parquet.ParquetFile(name) as file:
            return work(file)
    except MmbertError:
        raise
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file.") from None
    except (pa.ArrowException, OSError) as error:
        raise no_parquet(name, error) from error


def damage_raised(name: str, work: Callable[[], ReadResult]) -> ReadResult:
    """What a function gives, damage being no fault of the network that would go away."""
    try:
        return work()
    except pa.ArrowException as error:
        raise no_parquet(name, error) from error


def no_parquet(name: str, error: Exception) -> DataError:
    """The error for a file that is damaged or something else."""
    return DataError(f"{name} cannot be read as Parquet, or was cut: {answer_of(error)}.")


def content_columns(schema: pa.Schema) -> list[str]:
    """The columns whose cells are pictures, sounds or other files: bytes, or ``{"bytes": …, "path": …}``."""
    found = []
    for field in schema:
        kind = plain_type(field.type)
        names = {each.name for each in kind} if pa.types.is_struct(kind) else set()
        if is_binary(kind) or "bytes" in names and names <= set(MEDIA):
            found.append(field.name)
    return found


def cell_types(schema: pa.Schema) -> tuple[dict[str, pa.DataType], dict[str, str]]:
    """Types of the columns that are read as cells, and of those that cannot be, by name.

    Lists of pictures are among the latter: they would lie in the index as a whole.
    """
    media = set(content_columns(schema))
    cells, hidden = {}, {}
    for field in schema:
        if field.name in media:
            continue
        kind = readable_type(field.type)
        if kind is None or holds_bytes(kind):
            hidden[field.name] = str(field.type)
        else:
            cells[field.name] = kind
    return cells, hidden


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether something in a type is bytes."""
    return is_binary(kind) or any(holds_bytes(kind.field(place).type) for place in range(kind.num_fields))


def names_and_presence(file: Any, group: int, column: str) -> tuple[list[str | None], np.ndarray]:
    """Of a row group's pictures or sounds the names of the files that they were, and which rows have one.

    The bytes themselves are read only where the file's statistics do not tell which of them are missing.

    Args:
        file: a ``ParquetFile``.
        group: number of the row group.
        column: of ``content_columns``.
    """
    rows = file.metadata.row_group(group).num_rows
    if is_binary(plain_type(file.schema_arrow.field(column).type)):
        values = file.read_row_group(group, columns=[column]).column(column)
        return [None] * rows, ~gone_or_empty(values)
    fields = [each.name for each in file.schema_arrow.field(column).type]
    names: list[str | None] = [None] * rows
    there = np.zeros(rows, bool)
    if "path" in fields:
        cells = file.read_row_group(group, columns=[f"{column}.path"]).column(column).combine_chunks()
        names = pc.struct_field(cells, "path").to_pylist()
        there = np.asarray(pc.is_valid(cells).to_numpy(zero_copy_only=False), bool)
    nulls = null_bytes(file, group, f"{column}.bytes")
    if nulls == 0:
        return names, np.ones(rows, bool)
    named = np.array([name is not None for name in names], bool)
    if (there == named).all() and there.any() or nulls is not None and "path" in fields and nulls == (~there).sum():
        return names, there
    cells = file.read_row_group(group, columns=[f"{column}.bytes"]).column(column)
    return names, named | ~np.asarray(pc.is_null(pc.struct_field(cells, "bytes")).to_numpy(), bool)


def gone_or_empty(values: pa.ChunkedArray) -> np.ndarray:
    """(n,) bool: which cells have no byte."""
    lengths = pc.fill_null(pc.binary_length(pc.cast(values, pa.large_binary())), 0)
    return np.asarray(lengths.to_numpy() == 0, bool)


def null_bytes(file: Any, group: int, leaf: str) -> int | None:
    """How many rows of a group have no bytes; None = the file does not say."""
    about = file.metadata.row_group(group)
    for number in range(about.num_columns):
        column = about.column(number)
        if column.path_in_schema == leaf and column.is_stats_set and column.statistics.has_null_count:
            return int(column.statistics.null_count)
    return None
