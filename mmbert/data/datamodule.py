"""``MultimodalData``: the Lightning data module, a table with its splits and the rows of them that can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch

from mmbert.core.ranges import CellValues, OptionsOf, Range
from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.input_columns import TIME_COLUMNS, find_input_columns, refuse_times
from mmbert.data.labels import TargetEncoder, check_needs
from mmbert.data.loading.cached import Source
from mmbert.data.loading.held_split import HeldSplits
from mmbert.data.loading.loaders import check_loader_options, default_workers
from mmbert.data.loading.task_draws import TaskDraws
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.split_loaders import SplitLoaders
from mmbert.data.splits.missing import Missing
from mmbert.data.splits.named import checked_splits, default_splits
from mmbert.data.splits.removed_cells import removal_facts, remove_cells
from mmbert.data.splits.splits import SPLIT_COLUMN, Drawing, few_shot, split_rows, used_column
from mmbert.data.tables.fingerprint import splits_fingerprint
from mmbert.data.tables.outside_files import outside_rows, refuse_outside
from mmbert.data.tables.paired_columns import check_readers, one_column
from mmbert.data.tables.row_checks import (
    check_table,
    incomplete_rows,
    rows_without_modality,
    unusable_labels,
    unusable_rows,
    without_rows,
)
from mmbert.data.tables.table import Table
from mmbert.data.tables.train_cells import TrainCells


class MultimodalData(SplitLoaders, pl.LightningDataModule):
    """A table of samples, split by one of its columns.

    Args:
        path: the table: CSV, TSV, JSONL, Parquet or Excel (.xlsx). File names in it are relative to its folder.
        columns: the table's column for each encoder, and for ``split``; an encoder not listed reads the column of
            its own name. Two columns of texts, ``[question, context]``, are read together by a text encoder, the first
            before the second, which is what labels are about; an encoder of facts reads any number.
            ``start`` and ``end`` name columns of times: of files
            that last only this part is read.
        splits: the value of the split column for ``train``, ``val`` and each test split (every other name).
        split: what is drawn where the column does not say it, options of ``Drawing``.
        folds: number of folds; see ``Drawing``.
        fold: which of them is test.
        per_class: few-shot: train keeps so many rows of each class of ``label``, drawn with ``split.seed``.
        per_class_rare: what to do about a class with fewer rows: ``raise``, or ``keep`` all that it has.
        label: the column of classes for ``per_class`` and ``split.stratify=auto``.
        augment: random changes to the samples of train, and of no other split.
        batch_size: samples a training step, per device.
        eval_batch_size: samples a batch in validation and test; None = ``batch_size``.
        num_workers: processes that read and prepare samples; None = one fewer than the cores, at most 4.
        pin_memory: page-locked batches; None = where there is a GPU.
        check_files: look before training whether every file of the table exists.
        on_error: ``raise``: a row that cannot be used is an error; ``skip``: it is left out, and listed in ``skipped``.
            A label that a task cannot use is treated likewise.
        rows_without: what to do with a row that lacks a modality: ``raise``: nothing, unless it lacks all that the
            encoders read, which is an error; ``skip``: a row that lacks any of those named in ``columns`` is left out,
            whichever encoders there are, so that every subset of modalities has the same rows.
        trusted: files outside the table's folder may be read; False: rows that name one count as unusable.
        drop: encoders whose modality counts as missing everywhere; rows that have no other are left out.
        only: the splits that are wanted, for judging a trained model; the others need no rows. ``["all"]``: every row
            is in one split of this name, whatever the split column says.
        seed: of the order in which training samples come.
        bucket_by_length: training samples of like length come together, so that less of a batch is padding.
        missing: what samples lose on purpose, options of ``Missing``.
        na_values: words that count as empty cells, whatever their capitals, such as ``NA``; one or several.

    Raises:
        DataError: the table cannot be read, lacks the split column, or has no row for a split.
        ConfigError: an option is out of range, or two splits are the same rows.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, str | Sequence[str] | None] | None = None,
        splits: Mapping[str, str] | None = None,
        batch_size: Annotated[int, Range(1)] = 32,
        eval_batch_size: Annotated[int | None, Range(1)] = None,
        num_workers: Annotated[int | None, Range(0)] = None,
        pin_memory: bool | None = None,
        check_files: bool = True,
        seed: int = 0,
        split: Annotated[Mapping[str, Any] | None, OptionsOf(Drawing)] = None,
        folds: Annotated[int | None, Range(2)] = None,
        fold: Annotated[int | None, Range(0)] = None,
        per_class: Annotated[int | None, Range(1)] = None,
        per_class_rare: Literal["raise", "keep"] = "raise",
        label: str | None = None,
        augment: Augmentation | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        drop: Sequence[str] = (),
        only: Sequence[str] = (),
        bucket_by_length: bool = False,
        missing: Annotated[Mapping[str, Any] | None, OptionsOf(Missing)] = None,
        na_values: Annotated[Any, CellValues()] = (),
        rows_without: Literal["raise", "skip"] = "raise",
        trusted: bool = True,
    ) -> None:
        super().__init__()
        check_loader_options(batch_size, eval_batch_size, num_workers, per_class)
        self.columns = dict(columns or {})
        self.splits = checked_splits(splits or default_splits())
        known_splits = list(self.splits)
        self.table = self.open_table(path)
        self.table.take_for_empty([] if na_values is None else na_values)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size or batch_size
        self.num_workers = default_workers() if num_workers is None else num_workers
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self.check_files = check_files
        self.seed = seed
        self.augment = augment
        self.skip = on_error == "skip"
        self.complete_only, self.incomplete = rows_without == "skip", 0
        self.trusted = trusted
        self.drop = tuple(drop)
        self.bucket_by_length = bucket_by_length
        self.missing = Missing(**(missing or {}))
        self.taken: dict[str, np.ndarray] = {}
        self.realised: dict[str, dict[str, float]] = {}
        self.skipped: dict[int, str] = {}
        self.processors: dict[str, Processor] = {}
        self.tasks: dict[str, TargetEncoder] = {}
        self.sources: dict[str, Source] = {}
        self.held_splits = HeldSplits()
        self.aligned: tuple[str, ...] = ()
        self.task_draws: TaskDraws | None = None
        self.drawing = Drawing(**{**(split or {}), "folds": folds, "fold": fold})
        column = one_column(SPLIT_COLUMN, self.columns.get(SPLIT_COLUMN, SPLIT_COLUMN))
        self.rows = split_rows(self.table, column, self.splits, self.drawing, label, only)
        self.split_column = used_column(self.table, column, splits or default_splits(), self.drawing, only)
        self.missing.check_splits([*known_splits, *self.rows])
        if only:
            self.splits = {name: self.splits.get(name, name) for name in self.rows}
            return
        if per_class is not None:
            self.rows["train"] = few_shot(
                self.table, self.rows["train"], label, per_class, self.drawing.seed, keep_rare=per_class_rare == "keep"
            )

    def open_table(self, path: str | Path) -> Table:
        """The samples; other kinds of data open other tables."""
        return Table(path)

    @property
    def path(self) -> Path:
        """The table's file."""
        return self.table.path

    @property
    def column_names(self) -> list[str]:
        """The table's columns."""
        return self.table.column_names

    @property
    def notes(self) -> list[str]:
        """What was guessed, or left out, as the table was read, a sentence each."""
        lost = self.incomplete
        draws = self.task_draws
        return [
            *self.table.notes,
            *self.found.notes,
            *([f"data.rows_without=skip leaves out {lost:,} rows with a gap"] if lost else []),
            *([] if draws is None else [f"task_sampling: samples of an epoch by task: {draws.described()}"]),
        ]

    def facts(self) -> dict[str, Any]:
        """What a run says of its data: fingerprints of the table and of its splits, and rows by split."""
        sizes = {f"{name}_rows": len(rows) for name, rows in self.rows.items()}
        return {
            "data_fingerprint": self.table.fingerprint(),
            "splits_fingerprint": splits_fingerprint(self.rows),
            **sizes,
            "skipped_rows": len(self.skipped),
            "rows_in_no_split": len(self.rows_in_no_split()),
            **removal_facts(self.missing, self.taken, self.realised),
        }

    def rows_in_no_split(self) -> np.ndarray:
        """(n,) int64: the rows whose cell of the split column names no split."""
        parts = {} if self.split_column is None else self.split_column.rows_of_no_split(self.table)
        return np.concatenate([np.empty(0, np.int64), *parts.values()])

    def cells(self, column: str, split: str = "train") -> list[Any]:
        """The cells of a column in one split, None where empty.

        Raises:
            ConfigError: there is no such split.
            DataError: there is no such column.
        """
        return self.table.column(column, self._rows_of(split))

    def read_as(self, inputs: Mapping[str, Modality], known: Mapping[str, Sequence[str]] | None = None) -> None:
        """Says what encoders read, which decides what several columns are together: two texts, or one record.

        Args:
            inputs: what each reads, by encoder name.
            known: columns that encoders know by name, which they read where ``columns`` names none.
        """
        records = [name for name, modality in inputs.items() if modality.reads_columns]
        self.record_readers = {name: tuple((known or {}).get(name, ())) for name in records}

    def read_as_by(self, processors: Mapping[str, Processor]) -> None:
        """``read_as`` what the preprocessing of built encoders says."""
        known = {name: tuple(getattr(processor, "columns", ())) for name, processor in processors.items()}
        self.read_as({name: modality_of(processor) for name, processor in processors.items()}, known)

    def train_cells(self, encoder: str, modality: Modality) -> TrainCells:
        """What an encoder may learn from before it is built: its cells of train, the parts of files that are meant.

        Raises:
            DataError: times of parts cannot be used, and ``skip`` is false.
        """
        rows, column = self._rows_of("train"), self.own_column(encoder)
        start, end = (one_column(name, self.columns.get(name)) for name in TIME_COLUMNS)
        found = find_input_columns(self.table, {encoder: column}, {encoder: modality}, start, end, look=False)
        used = set(rows.tolist()) if found.faults else set()
        faults = {row: fault for row, fault in found.faults.items() if row in used}
        if not self.skip:
            refuse_times(self.table, faults)
        rows = np.setdiff1d(rows, list(faults)) if faults else rows
        read = found.columns.get(encoder, column)
        return TrainCells(self.table, read, modality, rows, self.skip, self.trusted)

    def require_columns(self, encoders: Iterable[str]) -> None:
        """Refuses encoders whose column the table lacks.

        Raises:
            DataError: names the column, the nearest one, and how to leave the modality out.
        """
        for name in encoders:
            self.table.require(
                self.column_of(name),
                f"Name another column with data.columns.{name}=COLUMN, or leave the modality out with {name}=none.",
            )

    def bind(
        self, processors: Mapping[str, Processor], tasks: Mapping[str, TargetEncoder], aligned: Sequence[str] = ()
    ) -> None:
        """Gives the data what depends on the model, and checks every row that will be used.

        Args:
            processors: the encoders' preprocessing, by encoder name.
            tasks: by name, as ``Task.without_weights`` gives them.
            aligned: modalities whose alignments batches carry, besides those that ``tasks`` are aligned to: for
                predictions, which need no labels.

        Raises:
            ConfigError: a task needs what no encoder's preprocessing gives.
            DataError: a row has no modality, a label cannot be read, or a file is not there.
        """
        self.processors, self.tasks, self.aligned = dict(processors), dict(tasks), tuple(aligned)
        check_needs(self.processors, self.tasks)
        inputs = {name: modality_of(processor) for name, processor in processors.items()}
        self.read_as_by(processors)
        self.require_columns(name for name in processors if name not in self.drop)
        check_readers(self.table, {name: self.column_of(name) for name in processors}, processors)
        if self.augment is not None:
            self.augment.check(processors)
        self.find_inputs(inputs)
        faults = self.time_faults()
        self._leave_out(faults) if self.skip else refuse_times(self.table, faults)
        columns = {name: self.column_of(name) for name in processors if name not in self.drop}
        present = {name: self.column_of(name) for name in inputs if self.has_column(self.column_of(name))}
        self.missing.check_modalities(list(inputs))
        self.leave_out_incomplete(processors)
        self.taken, self.realised = remove_cells(
            self.missing, self.table, self.rows, present, inputs, self.class_column()
        )
        if self.drop:
            reason = f"nothing is left of it without {' and '.join(self.drop)}"
            lost = rows_without_modality(self.table, self._all(), columns, self.taken)
            self._leave_out({int(row): reason for row in lost})
        if not self.trusted:
            outside = outside_rows(self.table, self._all(), columns, inputs)
            self._leave_out(outside) if self.skip else refuse_outside(self.table, outside)
        if self.skip:
            self._leave_out(unusable_rows(self.table, self._all(), columns, inputs, self.check_files))
            self._leave_out(unusable_labels(self.table, self._all(), self.tasks, columns, inputs))
        check_table(self.table, self._all(), columns, inputs, self.tasks, self.check_files)

    def find_inputs(self, inputs: Mapping[str, Modality]) -> None:
        """Looks which parts of files are meant, and which clips have no track for an encoder; see ``InputColumns``."""
        columns = {name: self.own_column(name) for name in inputs}
        start, end = (one_column(name, self.columns.get(name)) for name in TIME_COLUMNS)
        self.found = find_input_columns(self.table, columns, inputs, start, end, self.check_files)

    def time_faults(self) -> dict[int, str]:
        """The rows of the splits whose times cannot be used, and why."""
        used = set(self._all().tolist()) if self.found.faults else set()
        return {row: why for row, why in self.found.faults.items() if row in used}

    def leave_out_incomplete(self, encoders: Iterable[str]) -> int:
        """With ``rows_without=skip``, leaves out every row that lacks a modality; returns how many.

        Args:
            encoders: those of the run; the columns that ``columns`` names count whether or not an encoder reads them.

        Raises:
            DataError: no row of a split is left.
        """
        if not self.complete_only:
            return 0
        others = (SPLIT_COLUMN, *TIME_COLUMNS)
        named = [self.column_of(name) for name, column in self.columns.items() if column and name not in others]
        columns = dict.fromkeys([*named, *map(self.column_of, encoders)])
        lost = incomplete_rows(self.table, self._all(), [column for column in columns if self.has_column(column)])
        self._leave_out(lost)
        self.incomplete += len(lost)
        return len(lost)

    def has_labels(self, split: str, task: TargetEncoder) -> bool:
        """Whether a split can be measured for a task: some cell that it reads is filled, if it needs labels at all.

        A task that changes inputs is measured only where inputs are changed.
        """
        rows = self._rows_of(split)
        if task.changes_inputs and not self._changing(split):
            return False
        columns = [column for column in task.columns if self.has_column(column)]
        return not task.columns or any(not self.table.empty(column)[rows].all() for column in columns)

    def class_column(self) -> str | None:
        """The column of classes that is meant where no option names one: of the first task that has classes."""
        found = [task.columns[0] for task in self.tasks.values() if task.kind == "classification" and task.columns]
        return next(iter(found), None)

    def _all(self) -> np.ndarray:
        return np.concatenate(list(self.rows.values()))

    def _leave_out(self, faults: Mapping[int, str]) -> None:
        """Takes rows out of their splits and remembers why."""
        self.skipped |= faults
        self.rows = without_rows(self.table, self.rows, faults)
