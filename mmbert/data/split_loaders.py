"""Batches of the splits of a table: which samples are changed at random, and how they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.types import Batch
from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.input_columns import InputColumns
from mmbert.data.labels import TargetEncoder
from mmbert.data.loading.cached import Source
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.held_split import HeldSplits
from mmbert.data.loading.loaders import make_loader
from mmbert.data.loading.poisson import Poisson, PoissonBatches
from mmbert.data.loading.task_draws import TaskDraws
from mmbert.data.modalities.processor import Processor
from mmbert.data.tables.paired_columns import pair_of_columns, paired_column, record_column
from mmbert.data.tables.table import Table


class SplitLoaders:
    """What ``MultimodalData`` is once it knows its rows and the model's parts: samples and loaders by split.

    The attributes are set by ``MultimodalData``, which says what each means.
    """

    table: Table
    splits: dict[str, str]
    rows: dict[str, np.ndarray]
    columns: dict[str, str | Sequence[str] | None]
    processors: dict[str, Processor]
    tasks: dict[str, TargetEncoder]
    aligned: tuple[str, ...]
    sources: dict[str, Source]
    augment: Augmentation | None
    taken: dict[str, np.ndarray]
    task_draws: TaskDraws | None
    drop: tuple[str, ...]
    skip: bool
    seed: int
    batch_size: int
    eval_batch_size: int
    num_workers: int
    pin_memory: bool
    bucket_by_length: bool
    held_splits: HeldSplits
    poisson: Poisson | None = None
    found: InputColumns = InputColumns()
    #: encoders that read several columns as one record -> those that they know by name; None = encoders are not known
    record_readers: dict[str, tuple[str, ...]] | None = None

    @property
    def test_splits(self) -> list[str]:
        """The splits that are measured once, at the end."""
        return [name for name in self.splits if name not in ("train", "val")]

    def has_column(self, name: str) -> bool:
        """Whether the table has this column."""
        return self.table.has_column(name)

    def column_of(self, encoder: str) -> str:
        """The table's column that an encoder reads."""
        return self.found.columns.get(encoder) or self.own_column(encoder)

    def own_column(self, encoder: str) -> str:
        """The same before parts of files and clips without a track were looked at (``find_inputs``)."""
        column = self.columns.get(encoder)
        readers = {} if self.record_readers is None else self.record_readers
        if encoder in readers:
            names = column or readers[encoder] or encoder
            return record_column(self.table, encoder, [names] if isinstance(names, str) else names)
        if self.record_readers is None and not isinstance(column, str | None) and len(list(column)) != 2:
            return record_column(self.table, encoder, column)  # no two texts
        column = column or encoder
        return column if isinstance(column, str) else paired_column(self.table, pair_of_columns(encoder, column))

    def dataset(self, split: str) -> SampleDataset:
        """The samples of a split.

        Raises:
            ConfigError: there is no such split.
            InputError: ``bind`` was not called.
        """
        if not self.processors:
            raise InputError("The data knows no encoder yet: call bind(processors, tasks) before asking for samples.")
        columns = {name: self.column_of(name) for name in self.processors}
        augment = self.augment if split == "train" and self.augment is not None and self.augment.active else None
        return SampleDataset(
            self.table,
            self._rows_of(split),
            columns,
            self.processors,
            self.tasks,
            augment,
            self.seed,
            self.skip,
            self.drop,
            {name: source for name, source in self.sources.items() if not self.changes(split, name)},
            self.taken,
            self._changing(split),
            self.aligned,
        )

    def changes(self, split: str, encoder: str) -> bool:
        """Whether what an encoder reads of a split is changed at random, and so is never the same twice."""
        augment = self.augment if split == "train" else None
        if augment is not None and augment.changes(self.processors[encoder]):
            return True
        return self._changing(split) and any(encoder in task.changes_inputs for task in self.tasks.values())

    def _changing(self, split: str) -> bool:
        """Whether tasks change what encoders read of a split.

        In evaluation only if all tasks do, so that the numbers of the others are of what the table holds.
        """
        changing = [bool(task.changes_inputs) for task in self.tasks.values()]
        return any(changing) if split == "train" else bool(changing) and all(changing)

    def loader(self, split: str) -> DataLoader[Batch]:
        """Batches of a split; those of ``train`` in an order that depends on the seed and the epoch alone."""
        dataset = self.dataset(split)
        drawn = self.poisson if split == "train" else None
        return make_loader(
            dataset,
            self.batch_size if split == "train" else self.eval_batch_size,
            self.num_workers,
            self.pin_memory,
            self.seed,
            shuffle=split == "train",
            by_length=self.bucket_by_length,
            keep_workers=split in ("train", "val"),
            draws=self.task_draws if split == "train" else None,
            poisson=None if drawn is None else PoissonBatches(dataset, self.batch_size, self.seed, drawn.secure),
            order=None if drawn is not None else self.order(split, dataset, split == "train"),
            held=self.held_splits.of(split, dataset),
        )

    def plain_loader(self, split: str) -> DataLoader[Batch]:
        """Batches of a split in its order, without random changes: train too is read as an evaluated split is."""
        dataset = self.dataset(split)
        dataset.augment, dataset.changing = None, False
        return make_loader(
            dataset,
            self.eval_batch_size,
            self.num_workers,
            self.pin_memory,
            self.seed,
            shuffle=False,
            order=self.order(split, dataset, False),
            held=self.held_splits.of(split, dataset),
        )

    def order(self, split: str, dataset: SampleDataset, shuffle: bool) -> Sampler[Any] | None:
        """An order of a split that the data themselves ask for, shuffled for training or not; None = the usual one."""
        return None

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the train split."""
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation split."""
        return self.loader("val")

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """Batches of every test split, in the order of ``test_splits``."""
        return [self.loader(split) for split in self.test_splits]

    def draw_poisson(self, secure: bool = False) -> None:
        """Draws training batches from here on with one probability for each sample (``PoissonBatches``).

        Args:
            secure: from the operating system's entropy, not from the seed.
        """
        self.poisson = Poisson(secure)

    def draw_by_task(self, how: str, names: Iterable[str]) -> TaskDraws:
        """Draws training samples by tasks from here on, ``how`` being a word of ``EXPONENTS``.

        Args:
            how: ``proportional``, ``sqrt`` or ``balanced``.
            names: of the tasks that samples are drawn for. A sample carries a task's label where the first of the
                task's columns is filled; of a task that needs no label every sample does.

        Raises:
            ConfigError: it is no such word.
        """
        rows = self._rows_of("train")
        places = {}
        for name in names:
            columns = [column for column in self.tasks[name].columns[:1] if self.has_column(column)]
            filled = (
                ~self.table.empty(columns[0])[rows] if columns else np.full(len(rows), not self.tasks[name].columns)
            )
            places[name] = filled.nonzero()[0]
        self.task_draws = TaskDraws.of(places, how, len(rows))
        return self.task_draws

    def _rows_of(self, split: str) -> np.ndarray:
        if split not in self.rows:
            raise ConfigError(f"There is no split '{split}'. {nearest(split, self.rows)}")
        return self.rows[split]
