"""Packs a table and its splits into shards: media as they are, all other cells in ``KEY.json`` and in the index."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.file_names import named_file
from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import whole_folder
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.base import Modality, bytes_and_name
from mmbert.data.modalities.errors import unusable_file
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.streaming.content_fingerprint import index_fingerprint
from mmbert.data.streaming.description import DESCRIPTION, INDEX, ShardDescription
from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN, MemberPlace, locator_array
from mmbert.data.streaming.shard_writer import NO_PLAIN_NAME, ShardWriter, field_names
from mmbert.data.tables.outside_files import outside_rows, refuse_outside
from mmbert.data.tables.row_checks import check_files, check_rows, unusable_rows
from mmbert.data.tables.table import Table

#: Shows how far it is: passes row numbers on, of which there are so many.
TrackRows = Callable[[Iterable[int], int], Iterable[int]]
#: Digits of a key, which is the number of the row.
KEY_DIGITS = 9


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        description: of the shards.
        skipped: rows that could not be used, and why.
        left: rows that are in no split.
    """

    description: ShardDescription
    skipped: dict[int, str]
    left: int


def pack_shards(
    data: MultimodalData,
    inputs: Mapping[str, Modality],
    folder: Path,
    most_bytes: int,
    shuffle: bool = True,
    track: TrackRows = lambda rows, count: rows,
) -> Packed:
    """Writes the shards of all splits, ``index.parquet`` and ``description.json`` into a folder, or nothing.

    Args:
        data: the table with its splits; the rows of each are packed together.
        inputs: what each encoder reads, by its name: columns of files, or of media, become members.
        folder: new, or empty.
        most_bytes: of a shard.
        shuffle: mix the rows of train (with the seed of the data), so that near ones in a shard are unlike.
        track: shows how far it is.

    Raises:
        ConfigError: there is something in the folder.
        DataError: a row cannot be used, and ``data`` does not skip such.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"out={folder}: there is something already. Name a new folder, or empty this one.")
    columns = {name: data.column_of(name) for name in inputs}
    data.require_columns(inputs)
    skipped = refused_rows(data, columns, inputs)
    media = media_columns(data.table, columns, inputs)
    rows = {split: np.setdiff1d(numbers, list(skipped)) for split, numbers in data.rows.items()}
    if shuffle and "train" in rows:
        rows["train"] = np.random.default_rng(data.seed).permutation(rows["train"])
    with whole_folder(folder) as new:
        with ShardWriter(new, most_bytes) as writer:
            packer = RowPacker(data.table, media, writer, data.skip)
            for split, numbers in rows.items():
                packer.pack(split, numbers, track)
        skipped |= packer.skipped
        for split in rows:
            if not any(shard.split == split for shard in writer.shards):
                raise DataError(f"{data.path}: no row of split '{split}' can be used.")
        index = packer.index()
        kinds = {name: "media" if name in media else "cell" for name in index.column_names}
        description = ShardDescription(index_fingerprint(index), kinds, writer.shards)
        parquet.write_table(index, new / INDEX)
        (new / DESCRIPTION).write_text(description.text(), "utf-8")
    return Packed(description, skipped, len(data.rows_in_no_split()))


def refused_rows(data: MultimodalData, columns: Mapping[str, str], inputs: Mapping[str, Modality]) -> dict[int, str]:
    """Rows that no run could use, and why; with ``on_error=raise`` the first is an error.

    Raises:
        DataError: names it.
    """
    rows = np.concatenate(list(data.rows.values()))
    outside = {} if data.trusted else outside_rows(data.table, rows, columns, inputs)
    if data.skip:
        return {**outside, **unusable_rows(data.table, rows, columns, inputs, True)}
    refuse_outside(data.table, outside)
    check_rows(data.table, rows, columns)
    check_files(data.table, rows, columns, inputs)
    return {}


def media_columns(table: Table, columns: Mapping[str, str], inputs: Mapping[str, Modality]) -> list[str]:
    """The columns whose cells are files, or the content of files: those of encoders that read such, and any other."""
    read = {table.written_name(column) for name, column in columns.items() if holds_files(table, column, inputs[name])}
    names = [name for name in table.column_names if name not in (KEY_COLUMN, BLOCK_COLUMN)]
    return [name for name in names if name in read or table.is_media(name)]


def holds_files(table: Table, column: str, modality: Modality) -> bool:
    """Whether an encoder's column names files, or holds their content; else its cells are the inputs themselves."""
    return modality.names_files and (table.is_media(column) or table.is_text(column))


class RowPacker:
    """Writes rows of a table, and keeps their index.

    Args:
        table: where they are.
        media: columns that become members.
        writer: of shards.
        skip: rows that cannot be read are left out; else they are an error.
    """

    def __init__(self, table: Table, media: list[str], writer: ShardWriter, skip: bool) -> None:
        self.table, self.media, self.writer, self.skip = table, media, writer, skip
        names = [name for name in table.column_names if name not in (*media, KEY_COLUMN, BLOCK_COLUMN)]
        self.cells = [name for name in names if name != SPLIT_COLUMN]
        self.fields = field_names(media)
        self.skipped: dict[int, str] = {}
        self._rows: list[int] = []
        self._keys: list[str] = []
        self._blocks: list[int] = []
        self._splits: list[str] = []
        self._places: dict[str, list[MemberPlace | None]] = {name: [] for name in media}

    def pack(self, split: str, rows: np.ndarray, track: TrackRows) -> None:
        """Writes the rows (n,) of a split, in their order."""
        for row in track(rows.tolist(), len(rows)):
            try:
                members = dict(self._members(row))
            except DataError as error:
                if not self.skip:
                    raise
                self.skipped[row] = str(error)
                continue
            key = f"{row:0{KEY_DIGITS}}"
            cells = {name: json_cell(self.table.cell(row, name)) for name in self.cells}
            held = {name: cell for name, cell in cells.items() if cell is not None}
            text = json.dumps({**held, SPLIT_COLUMN: split}, ensure_ascii=False, default=str)
            contents = dict(members.values())
            places = self.writer.add(split, key, {**contents, "json": text.encode()})
            for name in self.media:
                self._places[name].append(places[members[name][0]] if name in members else None)
            self._rows.append(row)
            self._keys.append(key)
            self._blocks.append(self.writer.number)
            self._splits.append(split)

    def _members(self, row: int) -> Iterator[tuple[str, tuple[str, bytes]]]:
        """Column, field and content of each of a row's media.

        Raises:
            DataError: a file cannot be read; the message names the row.
        """
        for column in self.media:
            try:
                cell = self.table.cell(row, column)
                if cell is None:
                    continue
                content, name = self._content(cell)
            except DataError as error:
                raise DataError(f"{self.table.where(row)}, column '{column}': {error}") from error
            ending = NO_PLAIN_NAME.sub("", Path(name).suffix.lower()) or "bin"
            yield column, (f"{self.fields[column]}.{ending}", content)

    def _content(self, cell: Any) -> tuple[bytes, str]:
        """The bytes that a cell holds or names, and the name of their file.

        Raises:
            DataError: the file cannot be read, or is empty.
        """
        content, name = bytes_and_name(cell)
        if content is not None:
            return content, name or ""
        path = named_file(self.table.folder, str(name))
        try:
            refuse_special(path)
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise unusable_file(path, "file", error) from error
        if not content:
            raise DataError(f"{path} is empty (0 bytes)")
        return content, path

    def index(self) -> pa.Table:
        """A row for each sample, in the order of the shards."""
        columns: dict[str, Any] = {
            KEY_COLUMN: pa.array(self._keys, pa.string()),
            BLOCK_COLUMN: pa.array(self._blocks, pa.int32()),
        }
        for name in self.table.column_names:
            if name in self.media:
                columns[name] = locator_array(self._places[name])
            elif name in self.cells:
                columns[name] = self.table.values(name, np.array(self._rows, np.int64))
        columns[SPLIT_COLUMN] = pa.array(self._splits, pa.string())
        return pa.table(columns)


def json_cell(cell: Any) -> Any:
    """A cell as JSON has it: no NaN, no infinity."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    if isinstance(cell, dict):
        return {name: json_cell(part) for name, part in cell.items()}
    return [json_cell(part) for part in cell] if isinstance(cell, list) else cell
