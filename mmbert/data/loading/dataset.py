"""Rows of a table become samples: prepared inputs by encoder, targets by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mmbert.core.errors import DataError, InputError, MmbertError
from mmbert.data.augment.augmentation import Augmentation, sample_draw
from mmbert.data.labels import TargetEncoder
from mmbert.data.loading.cached import Source, StoredTokens
from mmbert.data.modalities.processor import Aligned, AlignedAsPrepared, Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.tables.row_checks import LEAVE_OUT, MEND_LABEL, label_columns
from mmbert.data.tables.table import Rows, Table


@dataclass(frozen=True)
class Sample:
    """One row, ready to be collated.

    Attributes:
        prepared: what each encoder's ``processor.prepare`` returned; None = the modality is missing.
        targets: what each task's ``encode`` returned; None = unlabelled.
        row: number in the table, from 0; -1 = a copy that fills a place: no loss, metric or prediction counts it.
        draw: from which the random changes of a training sample follow; None = it is as it is in the table.
        skipped: rows that could not be read, and why; the sample stands in for them.
        alignments: of the modalities that tasks are aligned to; see ``Batch``.
    """

    prepared: dict[str, Any]
    targets: dict[str, Any]
    row: int
    draw: int | None = None
    skipped: tuple[tuple[int, str], ...] = ()
    alignments: Mapping[str, Any] = field(default_factory=dict)


class SampleDataset(Dataset[Sample]):
    """The samples of one split.

    Args:
        table: where they are.
        rows: which of its rows, counted from 0.
        columns: the table's column by encoder name.
        processors: by encoder name.
        tasks: by name. A column that the table lacks counts as empty.
        augment: random changes to the samples.
        seed: of these changes.
        skip: in the place of a sample that cannot be read, or whose label cannot be used, stands a copy of the next
            one, without labels and with the row -1; else it is an error.
        drop: encoders whose modality is taken for missing.
        sources: what is kept of prepared or encoded samples, by encoder name; what they lack is prepared here.
        taken: (table's rows,) bool by encoder name, True where a sample's modality is taken for missing.
        changing: whether tasks change what encoders read; their samples then have a ``draw``.
        aligned: modalities whose alignments samples carry, besides those that ``tasks`` are aligned to.
    """

    def __init__(
        self,
        table: Table,
        rows: Rows,
        columns: Mapping[str, str],
        processors: Mapping[str, Processor],
        tasks: Mapping[str, TargetEncoder],
        augment: Augmentation | None = None,
        seed: int = 0,
        skip: bool = False,
        drop: Sequence[str] = (),
        sources: Mapping[str, Source] | None = None,
        taken: Mapping[str, np.ndarray] | None = None,
        changing: bool = False,
        aligned: Sequence[str] = (),
    ) -> None:
        self.table = table
        self.rows = np.asarray(rows, np.int64)
        self.columns = dict(columns)
        self.processors = dict(processors)
        self.tasks = dict(tasks)
        self.augment = augment
        self.seed = seed
        self.skip = skip
        self.drop = frozenset(drop)
        self.sources = dict(sources or {})
        self.taken = dict(taken or {})
        self.changing = changing
        self.folder = str(table.folder)
        self._unreadable: dict[int, str] = {}  # by place
        self.aligned = list(dict.fromkeys([*(name for task in tasks.values() for name in task.aligned_to), *aligned]))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def changes_samples(self) -> bool:
        """Whether a sample may be another one in the next epoch."""
        return self.augment is not None or self.changing

    def same_samples(self, other: SampleDataset) -> bool:
        """Whether another data set of the same table gives the same samples, as long as neither changes them."""
        return (
            self.table is other.table
            and np.array_equal(self.rows, other.rows)
            and (self.columns, self.drop, self.skip, self.aligned)
            == (other.columns, other.drop, other.skip, other.aligned)
            and all(
                one.keys() == more.keys() and all(one[name] is more[name] for name in one)
                for one, more in (
                    (self.processors, other.processors),
                    (self.tasks, other.tasks),
                    (self.sources, other.sources),
                    (self.taken, other.taken),
                )
            )
        )

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
        try:
            sample = self._read(place, epoch)
            aligned = {name: self._alignment(name, row, sample.prepared[name]) for name in self.aligned}
            targets = {name: self._target(task, row, aligned, sample.draw) for name, task in self.tasks.items()}
        except (DataError, InputError) as error:
            if not self.skip:
                raise
            self._unreadable[place] = str(error)
            return replace(self._stand_in(place, epoch), skipped=((row, str(error)),))
        return replace(sample, targets=targets, alignments=aligned)

    def _read(self, place: int, epoch: int) -> Sample:
        """The sample at a place, still without labels."""
        row = int(self.rows[place])
        draw = None if self.augment is None and not self.changing else sample_draw(self.seed, epoch, row)
        # the alignments are named even so: a batch may hold nothing but samples without labels
        nothing = dict.fromkeys(self.aligned)
        return Sample(self._all_prepared(row, draw), dict.fromkeys(self.tasks), row, draw, alignments=nothing)

    def _stand_in(self, place: int, epoch: int) -> Sample:
        """The sample at a place, or the next one that can be read, without labels and without a row."""
        for tried in (*range(place, len(self.rows)), *range(place)):
            if tried in self._unreadable:
                continue
            try:
                return replace(self._read(tried, epoch), row=-1)
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
        """An error in a sample names its file, row and column."""
        try:
            yield
        except MmbertError as error:
            raise type(error)(f"{self.table.where(row)}, column '{self.columns[name]}': {error}") from error
        except Exception as error:  # a fault in the processor: its traceback stays, and says which row met it
            error.add_note(f"while preparing {self.table.where(row)}, column '{self.columns[name]}'")
            raise

    def _alignment(self, name: str, row: int, prepared: Any) -> Any:
        """Which token is which part of a sample's raw text; None where the sample lacks the modality."""
        if prepared is None:
            return None
        processor = self.processors[name]
        with self.naming(name, row):
            if isinstance(processor, AlignedAsPrepared):
                if not isinstance(prepared, StoredTokens):
                    return processor.alignment_of(prepared)
                if prepared.tokens is not None:
                    return processor.alignment_of_tokens(len(prepared.tokens))
            assert isinstance(processor, Aligned)
            # the cell is read again: of what is stored nothing else says which part of it a token is
            return processor.alignment(self.raw(name, self.table.cell(row, self.columns[name])))

    def _target(self, task: TargetEncoder, row: int, aligned: Mapping[str, Any], draw: int | None) -> Any:
        """A task's label of a row, as it encodes it."""
        table = self.table
        cells = {column: table.cell(row, column) if table.has_column(column) else None for column in task.columns}
        try:
            return task.encode(cells, {name: aligned[name] for name in task.aligned_to}, draw)
        except DataError as error:
            remedy = "" if self.skip else f". {MEND_LABEL}. {LEAVE_OUT}"
            raise DataError(f"{table.where(row)}, {label_columns(task)}: {str(error).rstrip('.')}{remedy}") from error
        except Exception as error:  # a fault in the task: its traceback stays, and says which row met it
            error.add_note(f"while encoding the label of {table.where(row)}, {label_columns(task)}")
            raise
