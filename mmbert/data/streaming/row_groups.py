"""``RowGroups``: pictures and sounds of Parquet row groups, unpacked onto this machine's disk and mapped from there.

A cell of a Parquet file cannot be read alone: its page, and with most writers its row group, is read and unpacked as
one. Batches that are drawn at random would do so for each sample. So a group is unpacked once, when it is needed or
shortly before, and kept while there is room, for all processes of the machine.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.core.whole_files import whole_file
from mmbert.data.streaming.open_blocks import OpenBlocks
from mmbert.data.streaming.parquet_file import read_parquet
from mmbert.data.streaming.parquet_index import ParquetIndex
from mmbert.data.streaming.shard_cache import ShardCache
from mmbert.data.tables.arrow_types import plain_type

#: Groups that a process holds mapped from the disk; and in memory, where nothing is kept on the disk.
MOST_MAPPED, MOST_IN_MEMORY = 64, 4
#: Rows that are unpacked at a time.
UNPACKED_ROWS = 64


class RowGroups(OpenBlocks[pa.Table]):
    """The media of a set's row groups; each process maps its own.

    Args:
        index: which groups and columns there are.
        cache: where they are kept; None = nowhere, and the last few are held in memory.
    """

    def __init__(self, index: ParquetIndex, cache: ShardCache | None) -> None:
        self.index, self.cache = index, cache
        super().__init__(MOST_MAPPED if cache else MOST_IN_MEMORY)

    def content(self, block: int, place: int) -> tuple[bytes | None, str | None]:
        """Bytes and file name of a cell.

        Args:
            block: the group's number in the index.
            place: in the group; see ``place_of``.

        Raises:
            DataError: the file is not there, was changed, or is damaged.
        """
        row, number = divmod(place, len(self.index.media))
        table, column = self.block(block), self.index.media[number]
        if column not in table.column_names or row >= len(table):
            raise DataError(f"{self.name(block)} is no longer the file that was indexed: begin the run anew")
        cell = table.column(column)[row].as_py()
        return (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)

    def name(self, block: int) -> str:
        """The file of a group."""
        return self.index.files[self.index.groups[block].file]

    def _address(self, block: int) -> str:
        """What names a group in the cache."""
        return f"{self.name(block)}#{self.index.groups[block].group} {','.join(self.index.media)}"

    def _open_block(self, block: int, stack: ExitStack) -> pa.Table:
        if self.cache is None:
            group, media = self.index.groups[block].group, self.index.media
            return read_parquet(self.name(block), lambda file: file.read_row_group(group, media_of(file, media)))
        size, version = self.index.groups[block].bytes, self.index.fingerprint
        opened = self.cache.opened(self._address(block), size, version, self._unpacker(block))
        file = stack.enter_context(opened)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # stays when another process deletes the file
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()

    def _fetch_block(self, block: int) -> None:
        if self.cache is not None:
            size, version = self.index.groups[block].bytes, self.index.fingerprint
            self.cache.fetch(self._address(block), size, version, self._unpacker(block))

    def _unpacker(self, block: int) -> Unpacker:
        return Unpacker(self.name(block), self.index.groups[block].group, self.index.media)


class Unpacker:
    """Writes the media of a row group as an Arrow stream.

    Args:
        name: of the file.
        group: number of the group in it.
        columns: that hold media.
    """

    def __init__(self, name: str, group: int, columns: Sequence[str]) -> None:
        self.name, self.group, self.columns = name, group, columns

    def __call__(self, address: str, path: Path) -> None:
        """Writes to a path, whole or not at all; a few rows are in memory at a time.

        Raises:
            DataError: the file cannot be read.
        """
        read_parquet(self.name, lambda file: self.unpack(file, path))

    def unpack(self, file: Any, path: Path) -> None:
        """The same, of a file that is open."""
        there = media_of(file, self.columns)
        schema = pa.schema([(name, plain_type(file.schema_arrow.field(name).type)) for name in there])
        with whole_file(path) as temporary, pa.ipc.new_stream(str(temporary), schema) as writer:
            for batch in file.iter_batches(UNPACKED_ROWS, row_groups=[self.group], columns=there):
                writer.write_table(pa.Table.from_batches([batch]).select(there).cast(schema))


def media_of(file: Any, columns: Sequence[str]) -> list[str]:
    """Those of the columns that a file has."""
    return [name for name in columns if name in file.schema_arrow.names]
