"""``StreamedData``: data whose samples lie in blocks (shards, row groups), read block after block."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from torch.utils.data import Sampler

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.block_order import BlockEvaluation, BlockOrder
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.streaming.streamed_table import StreamedTable


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

    #: whether the table is a ``StreamedTable``; of data that need not be streamed, set before ``__init__``
    streaming = True

    def __init__(
        self, path: str | Path, shuffle_buffer: Annotated[int | None, Range(1)] = 10_000, **options: Any
    ) -> None:
        if self.streaming and options.get("bucket_by_length"):
            raise ConfigError(
                "data.bucket_by_length=true would read all data to measure them, and then in no order of their own: "
                "leave it out, or use data=manifest."
            )
        self.shuffle_buffer = shuffle_buffer
        super().__init__(path, **options)

    def order(self, split: str, dataset: SampleDataset, shuffle: bool) -> Sampler[Any] | None:
        """See ``SplitLoaders``."""
        table, buffer = self.table, self.shuffle_buffer
        if not self.streaming or buffer is None or self.task_draws is not None and split == "train":
            return super().order(split, dataset, shuffle)
        assert isinstance(table, StreamedTable)
        blocks = table.blocks(dataset.rows)
        if shuffle:
            return BlockOrder(dataset, self.seed, blocks, buffer, table.fetch_ahead, with_epoch=True)
        return BlockEvaluation(dataset, blocks, buffer, table.fetch_ahead)
