"""``SplitPart``: rows of one split that lie in one place, as a table in memory-mapped columns."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mmbert.data.datasets_library.class_names import Naming, named_column

#: What the library makes of a column of file names.
MEDIA_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class SplitPart:
    """Rows of one split.

    Attributes:
        split: its name.
        files: Arrow streams, one after the other.
        naming: of the columns that hold class numbers; see ``class_names.py``.
        source: the table that they were read from; None = the library's own files.
        hidden: types of the table's columns that cannot be read, by name.
        media: the table's columns that name pictures or sounds beside it, and what these are called.
    """

    split: str
    files: tuple[str, ...]
    naming: Mapping[str, Naming] = field(default_factory=dict)
    source: Path | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)
    media: Mapping[str, str] = field(default_factory=dict)


def part_table(part: SplitPart, path: str | Path) -> pa.Table:
    """The rows, class numbers as names and file names as paths.

    Args:
        part: which.
        path: of the data set, for messages.

    Raises:
        DataError: a class number has no name.
    """
    streams = [pa.ipc.open_stream(pa.memory_map(name)).read_all() for name in part.files]
    table = pa.concat_tables(streams).replace_schema_metadata()
    for column, naming in part.naming.items():
        if column in table.column_names:
            named = named_column(table.column(column), naming, f"{path}, split '{part.split}', column '{column}'")
            table = table.set_column(table.column_names.index(column), column, named)
    for column, called in part.media.items():
        assert part.source is not None
        media = media_column(table.column(column), part.source.parent)
        table = table.set_column(table.column_names.index(column), called, media)
    return table


def media_column(names: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
    """File names -> ``{"bytes": null, "path": ...}``, an empty name -> null."""
    chunks = []
    for chunk in names.chunks:
        cells = [name and {"bytes": None, "path": os.path.join(folder, name)} for name in chunk.to_pylist()]
        chunks.append(pa.array([cell or None for cell in cells], MEDIA_TYPE))
    return pa.chunked_array(chunks, MEDIA_TYPE)
