"""``data=webdataset``: samples in shards (tar files), on this machine or in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from torch.utils.data import Sampler

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.home import home
from mmbert.core.ranges import Range
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.block_order import BlockEvaluation, BlockOrder
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.streaming.shard_cache import ShardCache
from mmbert.data.streaming.shard_table import ShardTable
from mmbert.data.streaming.streamed_table import StreamedTable
from mmbert.data.tables.table import Table


class StreamedData(MultimodalData):
    """As ``MultimodalData``, of a ``StreamedTable``: training samples come in an order that goes by blocks.

    Args:
        path: of the data set.
        shuffle_buffer: training samples that are shuffled together, from blocks that are shuffled too; None = all of
            train at once, which reads here and there in all blocks.
        **options: those of ``MultimodalData``.

    Raises:
        ConfigError: an option is wrong, or does not go with data that are read by blocks.
        DataError: the data cannot be read.
    """

    def __init__(
        self, path: str | Path, shuffle_buffer: Annotated[int | None, Range(1)] = 10_000, **options: Any
    ) -> None:
        if options.get("bucket_by_length"):
            raise ConfigError(
                "data.bucket_by_length=true would read all data to measure them, and then in no order of their own: "
                "leave it out, or use data=manifest."
            )
        self.shuffle_buffer = shuffle_buffer
        super().__init__(path, **options)

    def order(self, split: str, dataset: SampleDataset, shuffle: bool) -> Sampler[Any] | None:
        """See ``SplitLoaders``."""
        table = self.table
        assert isinstance(table, StreamedTable)
        buffer = self.shuffle_buffer
        if buffer is None or self.task_draws is not None and split == "train":
            return None
        blocks = table.blocks(dataset.rows)
        if shuffle:
            return BlockOrder(dataset, self.seed, blocks, buffer, table.fetch_ahead, with_epoch=True)
        return BlockEvaluation(dataset, blocks, buffer, table.fetch_ahead)


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
        folder = home() / "shards" / "fetched" if cache_dir is None else Path(cache_dir)
        self._cache = ShardCache(folder, int(cache_gib * 2**30)) if cache_gib else None
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
