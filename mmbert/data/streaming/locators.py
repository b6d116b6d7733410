"""Locators: cells that say where the bytes of a picture, a sound or a file of features lie, without being them.

A locator is a struct. Its block is the file, or part of a file, that is read as one: a shard, a row group. What is near
in a block is cheap to read together, so that orders of samples go by blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

#: block: its number. place: of the content in it (of a shard the first byte, of a row group its row and column). size:
#: bytes, -1 where unknown. name: of the file that the content was, null where unknown. high, low: its ``content_key``.
LOCATOR = pa.struct(
    [
        ("block", pa.int32()),
        ("place", pa.int64()),
        ("size", pa.int64()),
        ("name", pa.string()),
        ("high", pa.uint64()),
        ("low", pa.uint64()),
    ]
)
FIELDS = tuple(field.name for field in LOCATOR)
#: Columns that every index has besides: the sample's key, and the number of the block that it lies in.
KEY_COLUMN, BLOCK_COLUMN = "__key__", "__block__"

#: One locator, in the order of ``FIELDS``.
MemberPlace = tuple[int, int, int, str | None, int, int]


def is_locator(kind: pa.DataType) -> bool:
    """Whether cells of this type are locators; they may have more fields, such as times."""
    return pa.types.is_struct(kind) and set(FIELDS) <= {field.name for field in kind}


def locator_array(places: Sequence[MemberPlace | None]) -> pa.Array:
    """Locators, null where there is no content."""
    return pa.array([None if place is None else dict(zip(FIELDS, place, strict=True)) for place in places], LOCATOR)
