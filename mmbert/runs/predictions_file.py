"""A run's table of predictions read back, with what it must be before anybody computes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmbert.core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read_predictions(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table that ``PredictionTable`` wrote.

    Args:
        path: of the Parquet file.
        columns: those that are wanted; None = all.

    Raises:
        DataError: it is damaged, or lacks a column.
    """
    return read_table_of_predictions(path, columns).to_pandas()


def read_table_of_predictions(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """As ``read_predictions``, as an Arrow table.

    Raises:
        DataError: it is damaged, or lacks a column.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            lacking = [name for name in columns or () if name not in file.schema_arrow.names]
            if lacking:
                raise DataError(f"{path} has no column '{lacking[0]}'.")
            table = file.read(list(columns) if columns is not None else None)
            table = table.replace_schema_metadata(None)  # what pandas has noted may be damaged, too
            table.validate(full=True)
            names = table.column_names
            _ = [field.name for column in table.schema if pa.types.is_struct(column.type) for field in column.type]
    # OSError: its pages; the others: what its metadata make of it
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, OverflowError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise DataError(f"{path} cannot be read: {first}. Measure the split again with mmbert-evaluate.") from error
    if columns is None and (lacking_name := first_lacking(names)):
        raise DataError(f"{path} is damaged, or was changed: it has not one column '{lacking_name}'.")
    for name in names:
        if wrong := column_fault(name, table.column(name)):
            raise DataError(f"{path} is damaged, or was changed: column '{name}' {wrong}.")
    return table


def first_lacking(names: Sequence[str]) -> str | None:
    """The first column that should be there once and is not: the rows, and of each task with probabilities labels."""
    ending = "/probabilities"
    labels = [f"{name.removesuffix(ending)}/target" for name in names if name.endswith(ending)]
    return next((name for name in ["row", *labels, *names] if list(names).count(name) != 1), None)


def column_fault(name: str, column: pa.ChunkedArray) -> str | None:
    """What is wrong with a column of predictions; None if nothing is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if name == "row":
        if not pa.types.is_integer(kind) or column.null_count:
            return f"is {kind}, or has gaps, but numbers rows"
        return "has the same row twice" if len(pc.unique(column)) < len(column) else None
    part = name.rpartition("/")[2]
    if part in ("target", "prediction"):
        plain = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        of = pa.types
        if not any(
            fits(plain) for fits in (of.is_string, of.is_large_string, of.is_floating, of.is_integer, of.is_null)
        ):
            return f"is {kind}, but should be texts, lists of texts or numbers"
    elif part == "probabilities":
        if not pa.types.is_struct(kind) or not all(pa.types.is_floating(field.type) for field in kind):
            return f"is {kind}, but should be a number for each class"
        column = column.drop_null()  # a sample with nothing to judge has no shares at all
        for number in range(kind.num_fields):
            shares = pc.struct_field(column, [number])
            ends = pc.min_max(shares)
            if shares.null_count or not all(0 <= ends[end].as_py() <= 1 for end in ("min", "max") if len(column)):
                return "has shares that are none"
            if pc.any(pc.is_nan(shares)).as_py():
                return "has shares that are none"
    return None
