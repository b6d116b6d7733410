"""Shards that somebody else made: read once, from the first byte to the last, to count and to index their samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.core.whole_files import whole_folder
from mmbert.data.datasets_library.joining import joined_tables
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.streaming.content_fingerprint import index_fingerprint
from mmbert.data.streaming.description import DESCRIPTION, INDEX, Shard, ShardDescription
from mmbert.data.streaming.fields import CELL_FIELDS, field_cell, field_column, field_ending
from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN, is_locator, locator_array
from mmbert.data.streaming.shard_names import split_of
from mmbert.data.streaming.tar_samples import TarSample, tar_samples
from mmbert.data.tables.arrow_types import as_text, type_of
from mmbert.data.tables.content_key import content_key

#: Samples of which a piece of the index is made at a time.
INDEXED_AT_ONCE = 5_000
#: Members that a note names.
NAMED_MEMBERS = 3


class ShardIndexer:
    """Collects the index of shards, one after another."""

    def __init__(self) -> None:
        self.pieces: list[pa.Table] = []
        self.shards: list[Shard] = []
        self.faults: list[tuple[int, str]] = []
        self.ignored: list[str] = []
        self.together: set[str] = set()
        self._cells: dict[str, dict[int, Any]] = defaultdict(dict)
        self._places: dict[str, dict[int, Any]] = defaultdict(dict)
        self._rows: list[tuple[str, int]] = []
        self._count = 0

    def add(self, name: str, file: BinaryIO, size: int) -> None:
        """Indexes a shard.

        Args:
            name: path or address.
            file: the shard, at its beginning.
            size: bytes of it.
        """
        number, before, ignored = len(self.shards), self._count, []  # type: ignore[var-annotated]
        # contents are read in between: the archive goes to each header by itself
        for sample in tar_samples(file, ignored):
            self._add_sample(number, sample, file)
        self.ignored += [f"{name}: {member}" for member in ignored]
        self.shards.append(Shard(name, split_of(name), self._count - before, size))
        if self._count == before:
            self.ignored.append(f"{name}: it has no sample")

    def _add_sample(self, shard: int, sample: TarSample, file: BinaryIO) -> None:
        row = len(self._rows)
        try:
            if not sample.fault:
                self._read_members(row, shard, sample, file)
        except DataError as error:
            sample.fault = str(error)
        if sample.fault:
            self.faults.append((self._count, sample.fault))
        self._rows.append((sample.key, shard))
        self._count += 1
        if len(self._rows) == INDEXED_AT_ONCE:
            self._flush()

    def _read_members(self, row: int, shard: int, sample: TarSample, file: BinaryIO) -> None:
        """The cells and the places of a sample that is whole."""
        columns: dict[str, str] = {}
        found: dict[str, Any] = {}
        for field, (place, size) in sample.members.items():
            file.seek(place)
            content = file.read(size)
            if field_ending(field) == "json" and isinstance(value := field_cell(field, content), dict):
                for column, cell in value.items():
                    self._cells[f"json:{column}"][row] = cell
                continue
            if field_column(field) in columns:
                self.together.add(field_column(field))
            columns[field_column(field)] = field
            if field_ending(field) in CELL_FIELDS:
                found[field] = field_cell(field, content)
            else:
                self._places[field][row] = (shard, place, size, f"{sample.key}.{field}", *content_key(content))
        for field, cell in found.items():
            self._cells[field][row] = cell

    def _flush(self) -> None:
        rows = range(len(self._rows))
        columns = {
            KEY_COLUMN: pa.array([key for key, _ in self._rows], pa.string()),
            BLOCK_COLUMN: pa.array([shard for _, shard in self._rows], pa.int32()),
        }
        for field, places in self._places.items():
            columns[field] = locator_array([places.get(row) for row in rows])
        for field, cells in self._cells.items():
            columns[field] = cell_array([cells.get(row) for row in rows])
        self.pieces.append(pa.table(columns))
        self._rows, self._cells, self._places = [], defaultdict(dict), defaultdict(dict)

    def index(self) -> pa.Table:
        """All samples, their columns named as ``field_column`` has it where that is clear.

        Raises:
            DataError: there are no samples.
        """
        if self._rows:
            self._flush()
        if not self._count:
            named = ", ".join(shard.name for shard in self.shards[:NAMED_MEMBERS])
            raise DataError(f"{named}: there is no sample in these shards. Members are called KEY.ENDING.")
        columns, unlike = joined_tables([("", piece) for piece in self.pieces])
        self.ignored += [
            f"the field '{name}' holds cells that do not go together ({why})" for name, why in unlike.items()
        ]
        columns = self._named(columns)
        if SPLIT_COLUMN not in columns and any(shard.split for shard in self.shards):
            splits = pa.array([shard.split for shard in self.shards], pa.string())
            columns[SPLIT_COLUMN] = pa.chunked_array([splits.take(columns[BLOCK_COLUMN].combine_chunks())])
        return pa.table(columns)

    def _named(self, fields: dict[str, pa.ChunkedArray]) -> dict[str, pa.ChunkedArray]:
        """Columns of fields: those of one kind, of which no sample has two, become one."""
        columns = {name.removeprefix("json:"): values for name, values in fields.items() if name.startswith("json:")}
        taken = set(columns)
        for name, values in fields.items():
            if name.startswith("json:"):
                continue
            column = field_column(name) if name not in (KEY_COLUMN, BLOCK_COLUMN) else name
            if column in taken or column in self.together:
                column = name
            if column in columns and columns[column].type == values.type:
                columns[column] = pc.if_else(pc.is_valid(columns[column]), columns[column], values)
            else:
                columns[column if column not in columns else name] = values
        return columns

    def notes(self) -> list[str]:
        """What was not used, a sentence each."""
        if not self.ignored:
            return []
        more = f" and {len(self.ignored) - NAMED_MEMBERS:,} more" if len(self.ignored) > NAMED_MEMBERS else ""
        return [f"left out of the shards: {'; '.join(self.ignored[:NAMED_MEMBERS])}{more}"]


def cell_array(cells: Sequence[Any]) -> pa.Array:
    """Cells in the one type that holds them all; text where there is none."""
    kind = type_of(cells)
    try:
        if not pa.types.is_string(kind):
            return pa.array(cells, kind)
    except (pa.ArrowException, OverflowError):
        pass
    return pa.array([None if cell is None else as_text(cell) for cell in cells], pa.string())


def write_shard_index(
    folder: Path,
    names: Iterable[str],
    opened: Callable[[str], Any],
    tracked: Callable[[Iterable[str]], Iterable[str]],
) -> None:
    """Indexes shards, and leaves ``index.parquet`` and ``description.json`` in a folder, whole or not at all.

    Args:
        folder: of the index.
        names: paths or addresses of the shards.
        opened: a context with the shard's file and its size.
        tracked: passes the names on, one at a time, and shows how far it is.
    """
    indexer = ShardIndexer()
    for name in tracked(names):
        with opened(name) as (file, size):
            indexer.add(name, file, size)
    index = indexer.index()
    kinds = {field.name: "media" if is_locator(field.type) else "cell" for field in index.schema}
    description = ShardDescription(index_fingerprint(index), kinds, indexer.shards, indexer.faults, indexer.notes())
    with whole_folder(folder) as new:
        parquet.write_table(index, new / INDEX)
        (new / DESCRIPTION).write_text(description.text(), "utf-8")
