"""The index of a set of Parquet files: all cells, and where pictures and sounds lie, without reading these."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from mmbert.core.errors import DataError
from mmbert.core.whole_files import whole_folder
from mmbert.data.datasets_library.class_names import Naming, named_column, named_type, namings, noted_features
from mmbert.data.datasets_library.joining import joint_type
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.streaming.content_fingerprint import index_fingerprint
from mmbert.data.streaming.locators import BLOCK_COLUMN, LOCATOR, locator_array
from mmbert.data.streaming.parquet_file import cell_types, content_columns, names_and_presence, read_parquet
from mmbert.data.tables.file_memo import halves

ROWS, ABOUT = "rows.arrow", "about.json"
#: Columns that the index has besides those of the files.
OWN_COLUMNS = (BLOCK_COLUMN, SPLIT_COLUMN)


@dataclass(frozen=True)
class RowGroup:
    """One row group.

    Attributes:
        file: number of its file.
        group: its number in the file.
        rows: how many.
        bytes: of its columns, unpacked.
    """

    file: int
    group: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class ParquetIndex:
    """What lies beside the rows.

    Attributes:
        fingerprint: changes with the cells, and with the files that hold pictures and sounds.
        files: paths or addresses.
        groups: in the order of the rows; a row's block is the number of its group here.
        media: columns whose content stays in the files.
        hidden: types of the columns that cannot be read, by name.
    """

    fingerprint: str
    files: list[str]
    groups: list[RowGroup]
    media: list[str]
    hidden: dict[str, str]

    @classmethod
    def of(cls, folder: Path) -> ParquetIndex:
        """Reads what ``write_parquet_index`` wrote."""
        found = json.loads((folder / ABOUT).read_text("utf-8"))
        return cls(**{**found, "groups": [RowGroup(**group) for group in found["groups"]]})


@dataclass(frozen=True)
class FileState:
    """A file of the set, as it is now.

    Attributes:
        split: of its rows.
        name: path or address.
        state: what changes with its content: size and time of change, or what its store says of it.
    """

    split: str
    name: str
    state: str


@dataclass(frozen=True)
class IndexColumns:
    """The columns of an index.

    Attributes:
        cells: types by name, class numbers as names.
        media: names of those whose content stays where it is.
        hidden: types of those that cannot be read, by name.
    """

    cells: dict[str, pa.DataType]
    media: list[str]
    hidden: dict[str, str]

    def schema(self) -> pa.Schema:
        """Of the index."""
        own = [(BLOCK_COLUMN, pa.int32()), (SPLIT_COLUMN, pa.string())]
        return pa.schema([*own, *self.cells.items(), *((name, LOCATOR) for name in self.media)])


def write_parquet_index(
    folder: Path,
    files: Sequence[FileState],
    features: Mapping[str, Any] | None,
    tracked: Callable[[Iterable[FileState]], Iterable[FileState]],
) -> None:
    """Writes ``rows.arrow`` and ``about.json``, whole or not at all.

    Args:
        folder: of the index.
        files: in the order of the rows.
        features: see ``ParquetFiles``; what a file notes itself goes before.
        tracked: passes the files on, one at a time, and shows how far it is.

    Raises:
        DataError: a file cannot be read, or there is no row.
    """
    columns = columns_of(files, features)
    groups: list[RowGroup] = []
    with whole_folder(folder) as new:
        with pa.ipc.new_stream(str(new / ROWS), columns.schema()) as writer:
            for number, file in enumerate(tracked(files)):
                pieces = partial(file_pieces, (number, len(groups)), file, columns, features)
                for group, table in read_parquet(file.name, pieces):
                    groups.append(group)
                    writer.write_table(table)
        if not sum(group.rows for group in groups):
            raise DataError(f"{files[0].name}: the data set has no rows.")
        with pa.memory_map(str(new / ROWS)) as source:
            fingerprint = index_fingerprint(pa.ipc.open_stream(source).read_all())
        index = ParquetIndex(fingerprint, [file.name for file in files], groups, columns.media, columns.hidden)
        (new / ABOUT).write_text(json.dumps(asdict(index), ensure_ascii=False), "utf-8")


def columns_of(files: Sequence[FileState], features: Mapping[str, Any] | None) -> IndexColumns:
    """The columns of all files together; a column that a file lacks is empty there.

    Raises:
        DataError: a file cannot be read.
    """
    cells: dict[str, pa.DataType] = {}
    media: dict[str, None] = {}
    hidden: dict[str, str] = {}
    for file in files:
        schema = read_parquet(file.name, lambda opened: opened.schema_arrow)
        media |= dict.fromkeys(content_columns(schema))
        kinds, unread = cell_types(schema)
        hidden |= unread
        for name, kind in kinds.items():
            named = named_type(kind, names[name]) if name in (names := class_names(schema, features)) else kind
            joint = joint_type(cells.get(name, named), named)
            if pa.types.is_string(joint) and any(map(pa.types.is_nested, (named, cells.get(name, named)))):
                hidden[name] = f"{cells.get(name)} in one file, {named} in {os.path.basename(file.name)}"
            cells[name] = joint
    for name in [*(set(media) & set(cells)), *OWN_COLUMNS]:
        if name in media and name in cells:
            hidden[name] = "files in one table, cells in another"
            media.pop(name)
        cells.pop(name, None)
        media.pop(name, None)
    return IndexColumns(
        {n: k for n, k in cells.items() if n not in hidden}, [n for n in media if n not in hidden], hidden
    )


def class_names(schema: pa.Schema, features: Mapping[str, Any] | None) -> Mapping[str, Naming]:
    """Where a file's columns hold class numbers; what it notes itself goes before what is said of the set."""
    return namings(noted_features(schema) or features or {})


def file_pieces(
    numbers: tuple[int, int], file: FileState, columns: IndexColumns, features: Mapping[str, Any] | None, opened: Any
) -> list[tuple[RowGroup, pa.Table]]:
    """The index of a file, by row groups.

    Args:
        numbers: of the file, and of its first row group in the index.
        file: which.
        columns: of the index.
        features: see ``write_parquet_index``.
        opened: the file.
    """
    number, before = numbers
    pieces = []
    for group in range(opened.metadata.num_row_groups):
        about = opened.metadata.row_group(group)
        rows, block = about.num_rows, before + group
        made = {BLOCK_COLUMN: pa.array([block] * rows, pa.int32())}
        made[SPLIT_COLUMN] = pa.repeat(pa.scalar(file.split), rows)
        made |= group_cells(opened, group, file, columns, features)
        for name in columns.media:
            there = name in opened.schema_arrow.names
            made[name] = locators(opened, file, (group, block), name, columns) if there else pa.nulls(rows, LOCATOR)
        pieces.append((RowGroup(number, group, rows, about.total_byte_size), pa.table(made)))
    return pieces


def group_cells(
    opened: Any, group: int, file: FileState, columns: IndexColumns, features: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The cells of a row group by column; see ``file_pieces``."""
    schema, rows = opened.schema_arrow, opened.metadata.row_group(group).num_rows
    names, kinds = class_names(schema, features), cell_types(schema)[0]
    wanted = [name for name in columns.cells if name in kinds]
    found = opened.read_row_group(group, columns=wanted) if wanted else None
    made: dict[str, Any] = {}
    for name, kind in columns.cells.items():
        if found is None or name not in kinds:
            made[name] = pa.nulls(rows, kind)
            continue
        values = found.column(name).cast(kinds[name])
        if name in names:
            values = named_column(values, names[name], f"{file.name}, column '{name}'")
        made[name] = values.cast(kind)
    return made


def locators(opened: Any, file: FileState, numbers: tuple[int, int], column: str, columns: IndexColumns) -> pa.Array:
    """Where the pictures or sounds of a row group lie.

    A content is known by its place in the file and by the file's state, for reading all to hash it would be what
    streaming is to spare. The place in a group is the row times the number of media columns, plus the column's number.

    Args:
        opened: the file.
        file: which.
        numbers: of the group in its file, and in the index.
        column: its name.
        columns: of the index.
    """
    group, block = numbers
    names, present = names_and_presence(opened, group, column)
    places = []
    for row, (name, there) in enumerate(zip(names, present.tolist(), strict=True)):
        key = halves(xxhash.xxh3_128_intdigest(f"{file.name}\n{file.state}\n{group}\n{column}\n{row}".encode()))
        place = row * len(columns.media) + columns.media.index(column)
        places.append((block, place, -1, name, *key) if there else None)
    return locator_array(places)
