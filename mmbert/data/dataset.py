"""Rows of a table become samples: prepared inputs by encoder, targets by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmbert.core.errors import DataError
from mmbert.data.labels import LabelCodec
from mmbert.data.media import read_raw
from mmbert.data.processor import Processor
from mmbert.data.table import Table


@dataclass(frozen=True)
class Sample:
    """One row, ready to be collated.

    Attributes:
        prepared: what each encoder's ``processor.prepare`` returned; None = the modality is missing.
        targets: by task, as its label codec encodes them.
        row: number in the table, from 0.
    """

    prepared: dict[str, Any]
    targets: dict[str, Tensor]
    row: int


class SampleDataset(Dataset[Sample]):
    """The samples of one split.

    Args:
        table: where they are.
        rows: which of its rows, counted from 0.
        columns: the table's column by encoder name.
        processors: by encoder name.
        labels: ``(column, codec)`` by task name. A column that the table lacks leaves every sample unlabelled.
    """

    def __init__(
        self,
        table: Table,
        rows: Sequence[int],
        columns: Mapping[str, str],
        processors: Mapping[str, Processor],
        labels: Mapping[str, tuple[str, LabelCodec]],
    ) -> None:
        self.table = table
        self.rows = np.asarray(rows, np.int64)
        self.columns = dict(columns)
        self.processors = dict(processors)
        self.labels = dict(labels)
        self.folder = table.path.parent

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = int(self.rows[index])
        prepared = {name: self._prepared(name, row) for name in self.processors}
        return Sample(prepared, {name: self._target(name, row) for name in self.labels}, row)

    def _prepared(self, name: str, row: int) -> Any:
        cell = self.table.cell(row, self.columns[name])
        if cell is None:
            return None
        processor = self.processors[name]
        try:
            raw = read_raw(processor.kind, cell, self.folder, getattr(processor, "max_seconds", None))
            return processor.prepare(raw)
        except DataError as error:
            raise DataError(f"{self.table.where(row)}, column '{self.columns[name]}': {error}") from error

    def _target(self, name: str, row: int) -> Tensor:
        column, codec = self.labels[name]
        cell = self.table.cell(row, column) if self.table.has_column(column) else None
        try:
            return codec.encode(cell)
        except DataError as error:
            raise DataError(f"{self.table.where(row)}, column '{column}': {error}") from error


def check_rows(table: Table, rows: Sequence[int], columns: Mapping[str, str]) -> None:
    """Refuses samples that have no modality at all.

    Raises:
        DataError: names the first such row.
    """
    gone = np.ones(len(rows), bool)
    for column in set(columns.values()):
        gone &= table.empty(column).to_numpy()[np.asarray(rows)]
    if gone.any():
        row = int(np.asarray(rows)[gone.argmax()])
        more = f" ({int(gone.sum())} rows are like that.)" if gone.sum() > 1 else ""
        raise DataError(
            f"{table.where(row)}: every modality is missing ({', '.join(columns.values())} are empty).{more} "
            "Fill in one of them or remove the row; if the encoders you left out would see it, leave its split out "
            "with data.splits.NAME=null."
        )


def check_labels(table: Table, rows: Sequence[int], labels: Mapping[str, tuple[str, LabelCodec]]) -> None:
    """Refuses label cells that their task cannot read; each distinct value is tried once.

    Raises:
        DataError: names the first such row.
    """
    for name, (column, codec) in labels.items():
        if not table.has_column(column):
            continue
        tried: set[str] = set()
        for row, cell in zip(rows, table.column(column, rows), strict=True):
            if repr(cell) in tried:
                continue
            tried.add(repr(cell))
            try:
                codec.encode(cell)
            except DataError as error:
                raise DataError(
                    f"{table.where(row)}, column '{column}': {error.args[0].rstrip('.')}. Mend the cell, empty it "
                    f"(an unlabelled sample is ordinary), or say what the labels are with tasks.{name}.classes=[...]."
                ) from error


def check_files(table: Table, rows: Sequence[int], columns: Mapping[str, str], kinds: Mapping[str, str]) -> None:
    """Refuses cells that name a file which is not there.

    Raises:
        DataError: names the first such row, and how many there are.
    """
    folder = table.path.parent
    for name, column in columns.items():
        if kinds[name] == "text":
            continue
        cells = table.column(column, rows)
        lost = [(row, cell) for row, cell in zip(rows, cells, strict=True) if cell and not (folder / str(cell)).is_file()]
        if lost:
            row, cell = lost[0]
            more = f" ({len(lost)} files of this column are missing.)" if len(lost) > 1 else ""
            raise DataError(
                f"{table.where(row)}, column '{column}': there is no file {Path(folder / str(cell))}.{more} "
                "Paths are relative to the table; an empty cell says that the modality is missing."
            )


def stack_targets(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Targets of a batch by task: (B,) or (B, C)."""
    return {name: torch.stack([sample.targets[name] for sample in samples]) for name in samples[0].targets}
