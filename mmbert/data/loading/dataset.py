"""Rows of a table become samples: prepared inputs by encoder, targets by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmbert.core.errors import DataError, InputError, MmbertError
from mmbert.data.augment.augmentation import Augmentation, sample_draw
from mmbert.data.labels import LabelCodec
from mmbert.data.loading.cached import Source
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.table import Rows, Table, is_empty

#: Encoded labels that are kept for the next sample with the same cell, for each task.
REMEMBERED = 1_000


@dataclass(frozen=True)
class Sample:
    """One row, ready to be collated.

    Attributes:
        prepared: what each encoder's ``processor.prepare`` returned; None = the modality is missing.
        targets: by task, as its label codec encodes them.
        row: number in the table, from 0; -1 = the sample counts nowhere.
        draw: from which the random changes of a training sample follow; None = it is as it is in the table.
        skipped: rows that could not be read, and why; the sample stands in for them.
    """

    prepared: dict[str, Any]
    targets: dict[str, Tensor]
    row: int
    draw: int | None = None
    skipped: tuple[tuple[int, str], ...] = ()


class SampleDataset(Dataset[Sample]):
    """The samples of one split.

    Args:
        table: where they are.
        rows: which of its rows, counted from 0.
        columns: the table's column by encoder name.
        processors: by encoder name.
        labels: ``(column, codec)`` by task name. A column that the table lacks leaves every sample unlabelled.
        augment: random changes to the samples.
        seed: of these changes.
        skip: an unreadable sample gives way to the next readable one, which then counts nowhere; else it is an error.
        drop: encoders whose modality is taken for missing.
        sources: what is kept of prepared or encoded samples, by encoder name; what they lack is prepared here.
        taken: (table's rows,) bool by encoder name, True where a sample's modality is taken for missing.
    """

    def __init__(
        self,
        table: Table,
        rows: Rows,
        columns: Mapping[str, str],
        processors: Mapping[str, Processor],
        labels: Mapping[str, tuple[str, LabelCodec]],
        augment: Augmentation | None = None,
        seed: int = 0,
        skip: bool = False,
        drop: Sequence[str] = (),
        sources: Mapping[str, Source] | None = None,
        taken: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.table = table
        self.rows = np.asarray(rows, np.int64)
        self.columns = dict(columns)
        self.processors = dict(processors)
        self.labels = dict(labels)
        self.augment = augment
        self.seed = seed
        self.skip = skip
        self.drop = frozenset(drop)
        self.sources = dict(sources or {})
        self.taken = dict(taken or {})
        self.folder = str(table.path.parent)
        self._unreadable: dict[int, str] = {}  # by place
        self._known: dict[str, dict[Any, Tensor]] = {name: {} for name in labels}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {name: {} for name in self.labels}}  # each worker encodes what it meets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        """The sample at a place in the split; a negative one gives it without labels and without a row (-1).

        Args:
            index: a place, or ``(epoch, place)``, where random changes differ from epoch to epoch.

        Raises:
            MmbertError: a file or a cell cannot be used; the message names file, row and column.
        """
        epoch, place = index if isinstance(index, tuple) else (0, index)
        if place < 0:
            return self._stand_in(-1 - place, epoch)
        row = int(self.rows[place])
        targets = {name: self._target(name, row) for name in self.labels}
        try:
            return Sample(*self._read(place, epoch, targets))
        except (DataError, InputError) as error:
            if not self.skip:
                raise
            self._unreadable[place] = str(error)
            return replace(self._stand_in(place, epoch), skipped=((row, str(error)),))

    def _read(
        self, place: int, epoch: int, targets: dict[str, Tensor]
    ) -> tuple[Any, dict[str, Tensor], int, int | None]:
        row = int(self.rows[place])
        draw = None if self.augment is None else sample_draw(self.seed, epoch, row)
        return self._all_prepared(row, draw), targets, row, draw

    def _stand_in(self, place: int, epoch: int) -> Sample:
        """The sample at a place, or the next one that can be read, without labels and without a row."""
        unlabelled = {name: codec.encode(None) for name, (_, codec) in self.labels.items()}
        for tried in (*range(place, len(self.rows)), *range(place)):
            if tried in self._unreadable:
                continue
            try:
                return replace(Sample(*self._read(tried, epoch, unlabelled)), row=-1)
            except (DataError, InputError) as error:
                if not self.skip:
                    raise
                self._unreadable[tried] = str(error)
        raise DataError(f"{self.table.path}: no sample of this split can be read. {self._unreadable[place]}")

    def _all_prepared(self, row: int, draw: int | None) -> dict[str, Any]:
        found = {name: self._found(name, row) for name in self.processors if not self.lacks(name, row)}
        there = [name for name, (kept, cell) in found.items() if kept is not None or cell is not None]
        if self.augment is not None and draw is not None:
            there = self.augment.kept(there, draw)
        return {
            name: self._prepared(name, row, *found[name], draw) if name in there else None for name in self.processors
        }

    def _found(self, name: str, row: int) -> tuple[Any, Any]:
        """What is kept of a row, None if nothing is; else its cell, which may hold a whole picture, is not read."""
        kept = self.sources[name].row(row) if name in self.sources else None
        return kept, None if kept is not None else self.table.cell(row, self.columns[name])

    def lacks(self, name: str, row: int) -> bool:
        """Whether a modality is taken away from a row of the table, whatever is in its cell."""
        return name in self.drop or name in self.taken and bool(self.taken[name][row])

    def _prepared(self, name: str, row: int, kept: Any, cell: Any, draw: int | None) -> Any:
        if kept is not None:
            return kept
        processor = self.processors[name]
        with self.naming(name, row):
            raw = self.raw(name, cell)
            if self.augment is None or draw is None:
                return processor.prepare(raw)
            return self.augment.prepare(raw, processor, draw)

    def raw(self, name: str, cell: Any) -> Any:
        """A cell that is not empty -> what ``Processor.prepare`` takes.

        Raises:
            DataError: the file cannot be used.
        """
        processor = self.processors[name]
        return modality_of(processor).read(cell, self.folder, getattr(processor, "max_seconds", None))

    @contextmanager
    def naming(self, name: str, row: int) -> Iterator[None]:
        """What goes wrong with a sample is told with its file, row and column."""
        try:
            yield
        except MmbertError as error:
            raise type(error)(f"{self.table.where(row)}, column '{self.columns[name]}': {error}") from error
        except Exception as error:  # a fault in the processor: its traceback stays, and says which row met it
            error.add_note(f"while preparing {self.table.where(row)}, column '{self.columns[name]}'")
            raise

    def _target(self, name: str, row: int) -> Tensor:
        column, codec = self.labels[name]
        written = self.table.written(row, column) if self.table.has_column(column) else None
        if written != written:  # NaN, which no dictionary finds again
            written = None
        known = self._known[name]
        plain = isinstance(written, (str, int, float, NoneType))
        if plain and written in known:
            return known[written]
        try:
            target = codec.encode(None if is_empty(written) else written)
        except DataError as error:
            raise DataError(f"{self.table.where(row)}, column '{column}': {error}") from error
        # classes are met again and again; the limit is for quantities, of which every one is another
        if plain and len(known) < REMEMBERED:
            known[written] = target
        return target


def stack_targets(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Targets of a batch by task: (B,) or (B, C)."""
    return {name: torch.stack([sample.targets[name] for sample in samples]) for name in samples[0].targets}
