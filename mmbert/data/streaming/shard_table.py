"""``ShardTable``: the samples of shards, their cells memory-mapped from the index, their media read from the shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.streaming.locations import is_address
from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN
from mmbert.data.streaming.shard_cache import ShardCache
from mmbert.data.streaming.shard_files import ShardFiles
from mmbert.data.streaming.shard_set import open_shards
from mmbert.data.streaming.streamed_table import StreamedTable
from mmbert.data.tables.opening import arrow_files, only_path


class ShardTable(StreamedTable):
    """The samples of all shards of a data set, in the order of the shards.

    Args:
        path: a folder of shards, on this machine or in an object store; see ``shard_names``.
        cache: where shards of an object store are kept; None = nowhere, and every member is a request.

    Attributes:
        faults: rows that cannot be used because their shard is damaged, cut or gone, and why.

    Raises:
        DataError: there are no shards, or they cannot be read.
    """

    def __init__(self, path: str | Path, cache: ShardCache | None = None) -> None:
        self.path = only_path(path)
        found = open_shards(str(path), cache)
        self.faults = found.faults()
        self._fingerprint, self._notes = found.description.fingerprint, found.description.notes
        self._shards = ShardFiles(found.names, found.sizes, self._fingerprint, cache)
        self._files = arrow_files(found.index)
        self._map()

    def __getstate__(self) -> dict[str, Any]:
        names = ("path", "faults", "_fingerprint", "_notes", "_shards", "_files")
        return {name: self.__dict__[name] for name in names}

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the content of the samples, in whatever shards they are."""
        return self._fingerprint

    @property
    def folder(self) -> Path:
        """No cell names a file."""
        return self.path

    @property
    def notes(self) -> list[str]:
        """What of the shards was not used, a sentence each."""
        return self._notes

    def _hidden(self) -> dict[str, str]:
        return {}

    def where(self, row: int) -> str:
        """How messages name a row, given from 0: ``shards, row 18: sample '17' of train-000000.tar``."""
        shard, key = (self._columns[name][row].as_py() for name in (BLOCK_COLUMN, KEY_COLUMN))
        return f"{self.path}, row {row + 1} (sample '{key}' of {self._shards.names[shard].rpartition('/')[2]})"

    def fetch_ahead(self, blocks: Sequence[int]) -> None:
        """See ``StreamedTable``."""
        self._shards.fetch_ahead(blocks)

    @property
    def remote(self) -> bool:
        """Whether some shard lies in an object store."""
        return any(map(is_address, self._shards.names))

    def _content(self, row: int, locator: dict[str, Any]) -> tuple[bytes, str | None]:
        try:
            return self._shards.read(locator["block"], locator["place"], locator["size"]), locator["name"]
        except DataError as error:
            raise DataError(f"{self.where(row)}: {error}.") from error
