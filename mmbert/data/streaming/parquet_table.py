"""``ParquetTable``: the samples of Parquet files, cells mapped from an index, pictures and sounds read by row group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from mmbert.core.errors import DataError
from mmbert.core.home import home
from mmbert.core.whole_files import building
from mmbert.data.splits.splits import SPLIT_COLUMN
from mmbert.data.streaming import locations
from mmbert.data.streaming.parquet_files import ParquetFiles, find_parquet
from mmbert.data.streaming.parquet_index import ABOUT, ROWS, FileState, ParquetIndex, write_parquet_index
from mmbert.data.streaming.row_groups import RowGroups
from mmbert.data.streaming.shard_cache import ShardCache
from mmbert.data.streaming.shard_set import indexing
from mmbert.data.streaming.streamed_table import StreamedTable
from mmbert.data.tables.opening import only_path

#: Part of the key of an index: to be raised when the same files are indexed differently.
PARQUET_INDEX_VERSION = 1


class ParquetTable(StreamedTable):
    """The rows of all files, split after split.

    Args:
        path: see ``find_parquet``.
        name: configuration.
        revision: of the hub's repository.
        cache: where unpacked row groups are kept; None = nowhere.

    Raises:
        DataError: there are no Parquet files, or they cannot be read.
    """

    def __init__(
        self, path: str | Path, name: str | None = None, revision: str | None = None, cache: ShardCache | None = None
    ) -> None:
        self.path = only_path(path)
        self._named = str(path)
        found = find_parquet(self._named, name, revision)
        self._notes = found.notes
        self._folder = indexed(found)
        self._files = [str(self._folder / ROWS)]
        self._map()
        self._groups = RowGroups(ParquetIndex.of(self._folder), cache)

    def __getstate__(self) -> dict[str, Any]:
        names = ("path", "_named", "_notes", "_folder", "_files", "_groups")
        return {name: self.__dict__[name] for name in names}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the cells, and with the files that hold pictures and sounds."""
        return self._groups.index.fingerprint

    @property
    def folder(self) -> Path:
        """Which the names of files in cells are relative to."""
        return self.path

    @property
    def notes(self) -> list[str]:
        """What was left out, a sentence each."""
        return self._notes

    def _hidden(self) -> dict[str, str]:
        return self._groups.index.hidden

    def where(self, row: int) -> str:
        """How messages name a row, given from 0: ``user/name, split 'train', row 17 (row 3 of 0001.parquet)``."""
        index, first = self._groups.index, 0
        for number, group in enumerate(index.groups):
            if row < first + group.rows:
                in_file = sum(each.rows for each in index.groups[:number] if each.file == group.file) + row - first
                split = self._columns[SPLIT_COLUMN][row].as_py()
                file = os.path.basename(index.files[group.file])
                return f"{self._named}, split '{split}', row {row + 1} (row {in_file + 1} of {file})"
            first += group.rows
        raise IndexError(row)

    def fetch_ahead(self, blocks: Sequence[int]) -> None:
        """See ``StreamedTable``."""
        if self._groups.index.media:
            self._groups.fetch_ahead(blocks)

    def _content(self, row: int, locator: dict[str, Any]) -> tuple[bytes | None, str | None] | None:
        try:
            content, name = self._groups.content(locator["block"], locator["place"])
        except DataError as error:
            raise DataError(f"{self.where(row)}: {str(error).rstrip('.')}.") from error
        return None if not content and name is None else (content, name)


def indexed(found: ParquetFiles) -> Path:
    """The folder of the files' index, in mmbert's home; made anew where a file has changed.

    Raises:
        DataError: a file cannot be read.
    """
    states = states_of(found.files)
    key = f"{PARQUET_INDEX_VERSION}\n{states}\n{found.features}"
    folder = home() / "parquet" / xxhash.xxh3_128_hexdigest(key.encode())
    if (folder / ABOUT).is_file():
        return folder
    with building(folder):
        if not (folder / ABOUT).is_file():
            write_parquet_index(folder, states, found.features, indexing)
    return folder


def states_of(files: Sequence[tuple[str, str]]) -> list[FileState]:
    """What tells whether the files have changed.

    Args:
        files: (split, path or address).

    Raises:
        DataError: one is not there.
    """
    found = []
    for split, name in files:
        try:
            found.append(FileState(split, name, locations.file_state(name)))
        except FileNotFoundError:
            raise DataError(f"{name}: there is no such file.") from None
    return found
