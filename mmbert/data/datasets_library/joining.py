"""The splits of a data set as one table: columns are joined by name, and their types to one that holds all cells."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError
from mmbert.data.tables.arrow_types import common_type


def joined_tables(parts: Sequence[tuple[str, pa.Table]]) -> tuple[dict[str, pa.ChunkedArray], dict[str, str]]:
    """The columns of all parts, one after the other; a column that a part lacks is empty there.

    Args:
        parts: the rows of a split, and the split's name.

    Returns:
        The columns by name, and the types of those that have no type in common, by name.
    """
    columns, hidden = {}, {}
    for name in dict.fromkeys(name for _, table in parts for name in table.column_names):
        kinds = {table.schema.field(name).type: split for split, table in reversed(parts) if name in table.column_names}
        try:
            columns[name] = joined_column(name, [table for _, table in parts], list(kinds))
        except (pa.ArrowException, DataError):
            hidden[name] = ", ".join(f"{kind} in split '{split}'" for kind, split in reversed(kinds.items()))
    return columns, hidden


def joined_column(name: str, tables: Sequence[pa.Table], kinds: Sequence[pa.DataType]) -> pa.ChunkedArray:
    """One column of all tables.

    Raises:
        DataError: cells of different kinds are no text.
        pyarrow.ArrowException: they cannot be cast.
    """
    kind = functools.reduce(joint_type, kinds)
    if len(kinds) > 1 and pa.types.is_string(kind) and any(map(pa.types.is_nested, kinds)):
        raise DataError(f"{name}: lists or structures beside words.")
    chunks: list[pa.Array] = []
    for table in tables:
        if name in table.column_names:
            values = table.column(name)
            chunks += (values if values.type == kind else pc.cast(values, kind)).chunks
        else:
            chunks.append(pa.nulls(len(table), kind))
    return pa.chunked_array(chunks, kind)


def joint_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """A type that holds the cells of both, of lists their items too; text where there is none."""
    if pa.types.is_list(first) and pa.types.is_list(second):
        return pa.list_(joint_type(first.value_type, second.value_type))
    return common_type(first, second)


def with_split(table: pa.Table, column: str, split: str) -> pa.Table:
    """The rows with the split's name as a column, in the place of one that is called so."""
    if column in table.column_names:
        table = table.drop_columns(column)
    return table.append_column(column, pa.repeat(pa.scalar(split), len(table)))
