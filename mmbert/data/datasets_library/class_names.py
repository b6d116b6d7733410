"""Class numbers of the ``datasets`` library become class names, wherever in a cell they stand.

A ``Naming`` says where: a tuple holds the names of a class number, a list with one naming stands for the items of a
list, a dictionary for the fields of a structure. It is plain Python, so that worker processes need no library for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmbert.core.errors import DataError

Naming = Any  # tuple[str, ...] | list[Naming] | dict[str, Naming]


def namings(features: Mapping[str, Any]) -> dict[str, Naming]:
    """The naming of every column that holds class numbers, from the ``datasets.Features`` of a split."""
    found = {name: naming_of(feature) for name, feature in features.items()}
    return {name: naming for name, naming in found.items() if naming is not None}


def noted_features(schema: pa.Schema) -> Mapping[str, Any] | None:
    """What the library noted of its types in a Parquet file; None = nothing that is understood."""
    import datasets

    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        return None if noted is None else datasets.Features.from_dict(json.loads(noted)["info"]["features"])
    except (ValueError, KeyError, TypeError, AttributeError):  # another library's, or of another version
        return None


def naming_of(feature: Any) -> Naming | None:
    """Where a feature of the library holds class numbers; None = nowhere."""
    from datasets import ClassLabel

    if isinstance(feature, ClassLabel):
        return tuple(feature.names or [])
    if isinstance(feature, Mapping):
        return namings(feature) or None
    inner = getattr(feature, "feature", None)  # of a list, whatever its kind
    naming = None if inner is None else naming_of(inner)
    return None if naming is None else [naming]


def named_column(values: pa.ChunkedArray, naming: Naming, where: str) -> pa.ChunkedArray:
    """A column with names for numbers. -1, which means unlabelled in the library, becomes an empty cell.

    Args:
        values: the column.
        naming: of its cells.
        where: column and split, for messages.

    Raises:
        DataError: a number has no name.
    """
    kind = named_type(values.type, naming)
    if not (isinstance(naming, tuple) and pa.types.is_integer(values.type)):
        chunks = [pa.array([named_cell(cell, naming, where) for cell in c.to_pylist()], kind) for c in values.chunks]
        return pa.chunked_array(chunks, kind)
    most = pc.max(values).as_py()
    if most is not None and most >= len(naming):
        raise no_name(most, naming, where)
    codes = pc.if_else(pc.less(values, 0), pa.scalar(None, values.type), values)
    return pc.take(pa.chunked_array([pa.array(naming, kind)]), codes)


def named_type(kind: pa.DataType, naming: Naming) -> pa.DataType:
    """The type of a column once its class numbers are names."""
    if isinstance(naming, tuple):
        return pa.string() if pa.types.is_integer(kind) else kind
    if isinstance(naming, list):
        return pa.list_(named_type(kind.value_type, naming[0]))
    fields = [
        pa.field(field.name, named_type(field.type, naming[field.name]) if field.name in naming else field.type)
        for field in kind
    ]
    return pa.struct(fields)


def named_cell(cell: Any, naming: Naming, where: str) -> Any:
    """One cell with names for numbers."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(naming, list):
        return [named_cell(item, naming[0], where) for item in cell]
    if isinstance(naming, dict):
        return {name: named_cell(part, naming[name], where) if name in naming else part for name, part in cell.items()}
    if cell >= len(naming):
        raise no_name(cell, naming, where)
    return naming[cell] if cell >= 0 else None


def no_name(number: int, names: tuple[str, ...], where: str) -> DataError:
    """The error for a class number that has no name."""
    return DataError(
        f"{where}: the class number {number} has no name; the split names {len(names)} classes: {', '.join(names)}."
    )
