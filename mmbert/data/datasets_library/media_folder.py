"""Folders of pictures or sounds whose rows stand in ``metadata.csv``, ``.jsonl`` or ``.parquet``.

The library reads such a table with pandas, for which ``None`` and ``NA`` are empty cells and 007 is 7. Our own readers
read it here; that the column ``file_name`` names the picture or sound, ``x_file_name`` one called x, is the library's
rule.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.data.datasets_library.left_out import unread_media
from mmbert.data.datasets_library.split_part import SplitPart, part_table
from mmbert.data.tables.formats import FORMATS
from mmbert.data.tables.reading import row_name

if TYPE_CHECKING:
    from datasets import DatasetBuilder

#: The column that names a row's picture or sound, also as the ending of other names.
FILE_NAME = "file_name"


def media_folder_parts(builder: DatasetBuilder) -> tuple[list[SplitPart], list[str]] | None:
    """The parts of a folder of pictures or sounds, and what was left out; None where the library must read it.

    Raises:
        DataError: a table cannot be read, or names a file outside its folder.
    """
    from mmbert.data.tables.arrow_cache import cached_files

    splits = {str(split): [str(file) for file in files] for split, files in (builder.config.data_files or {}).items()}
    tables = {
        split: [Path(file) for file in files if os.path.basename(file) in builder.METADATA_FILENAMES]
        for split, files in splits.items()
    }
    every = [table for found in tables.values() for table in found]
    plain = all(
        os.path.isfile(file) and not file.lower().endswith(".zip") for files in splits.values() for file in files
    )
    if not every or not plain or builder.info.features is not None or not all(map(names_files, every)):
        return None
    parts, notes = [], []
    for split, found in tables.items():
        here = [
            SplitPart(
                split,
                tuple(cached_files(table)),
                source=table,
                hidden=FORMATS[table.suffix.lower()].hidden(table),
                media=media_names(FORMATS[table.suffix.lower()].schema(table).names, builder.BASE_COLUMN_NAME),
            )
            for table in found
        ]
        for part in here:
            refuse_outside_names(part)
        parts += here
        media = [file for file in splits[split] if os.path.splitext(file)[1].lower() in builder.EXTENSIONS]
        notes += unread_media(split, media, [part_table(part, "") for part in here])
    return parts, notes


def names_files(table: Path) -> bool:
    """Whether a table has a text column of file names, and no list of them, which is the library's to read."""
    schema = FORMATS[table.suffix.lower()].schema(table)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    return any(map(is_file_name, texts)) and not any(name.endswith("file_names") for name in schema.names)


def is_file_name(column: str) -> bool:
    """Whether a column names files by the library's rule."""
    return column == FILE_NAME or column.endswith(f"_{FILE_NAME}")


def media_names(columns: Sequence[str], base: str) -> dict[str, str]:
    """``file_name`` -> ``image`` or ``audio``, the base; ``scan_file_name`` -> ``scan``."""
    return {name: name.removesuffix(FILE_NAME).removesuffix("_") or base for name in columns if is_file_name(name)}


def refuse_outside_names(part: SplitPart) -> None:
    """Refuses names of files that lie outside the table's folder, as the library does.

    Raises:
        DataError: names the first.
    """
    assert part.source is not None
    rows = pa.concat_tables([pa.ipc.open_stream(pa.memory_map(name)).read_all() for name in part.files])
    for column in part.media:
        for row, name in enumerate(rows.column(column).to_pylist()):
            if name and (os.path.isabs(name) or "://" in name or os.path.normpath(name).split(os.sep)[0] == ".."):
                line = FORMATS[part.source.suffix.lower()].line(part.source, row)
                raise DataError(
                    f"{part.source}, {row_name(row, line)}: '{name}' must be a file in the folder of the table, "
                    "its name relative to it."
                )
