"""``data=webdataset``: samples in shards (tar files), on this machine or in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import Range
from mmbert.data.streamed_data import StreamedData
from mmbert.data.streaming.shard_cache import cache_in
from mmbert.data.streaming.shard_table import ShardTable
from mmbert.data.tables.table import Table


class WebDatasetData(StreamedData):
    """As ``MultimodalData``, of shards.

    Args:
        path: a folder of shards that ``mmbert-pack`` wrote, or of those of others; a pattern
            (``train-{000..041}.tar``), or several of them parted by ``::``. Paths or addresses (``s3://…``, ``https://…``).
        shuffle_buffer: see ``StreamedData``.
        cache_gib: room for shards of an object store on this machine's disk; 0 = none, and each picture or sound is a
            request of its own.
        cache_dir: where; None = in mmbert's home.
        **options: those of ``MultimodalData``.

    Raises:
        DataError: there are no shards, one of them is cut or gone, or they cannot be read.
        ConfigError: as ``StreamedData``.
    """

    def __init__(
        self,
        path: str | Path,
        shuffle_buffer: Annotated[int | None, Range(1)] = 10_000,
        cache_gib: Annotated[float, Range(0)] = 50.0,
        cache_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        self._cache = cache_in(cache_dir, cache_gib)
        super().__init__(path, shuffle_buffer, **options)
        self._leave_out_faults()

    def open_table(self, path: str | Path) -> Table:
        """The shards' samples."""
        return ShardTable(path, self._cache)

    def _leave_out_faults(self) -> None:
        """Rows of shards that are damaged, cut or gone: an error, or with ``on_error=skip`` left out and counted."""
        table = self.table
        assert isinstance(table, ShardTable)
        used = set(self._all().tolist()) if table.faults else set()
        faults = {row: why for row, why in table.faults.items() if row in used}
        if not faults:
            return
        if self.skip:
            self._leave_out(faults)
            return
        row, why = next(iter(faults.items()))
        more = f" ({len(faults):,} samples are like that.)" if len(faults) > 1 else ""
        raise DataError(
            f"{table.where(row)}: {why.rstrip('.')}.{more} Fetch or pack the shard anew, or leave such samples out "
            "with data.on_error=skip."
        )
