"""Arrow types of columns: which type fits cells, which fits two columns, and which can be read from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

#: Nested and foreign types that the ``datasets`` library cannot keep.
HIDDEN: tuple[Callable[[pa.DataType], bool], ...] = (
    *(pa.types.is_map, pa.types.is_union, pa.types.is_run_end_encoded),
    *(pa.types.is_list_view, pa.types.is_large_list_view),
)


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
    """What a column stands for: of categories their values, of views and extensions what they are made of."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(plain_type(kind.value_type))
    if pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def readable_type(kind: pa.DataType) -> pa.DataType | None:
    """The type as which a column is read; None where it cannot be: a map, a union, or something made of one."""
    plain = plain_type(kind)
    if holds_hidden(plain):
        return None
    try:
        pa.array([], kind).cast(plain)
    except (pa.ArrowException, NotImplementedError):
        return None
    return plain


def holds_hidden(kind: pa.DataType) -> bool:
    """Whether a type, or one that it is made of, is among ``HIDDEN``."""
    return any(is_hidden(kind) for is_hidden in HIDDEN) or any(
        holds_hidden(kind.field(place).type) for place in range(kind.num_fields)
    )
