"""``check_data``: reads every row and every file that a run would use, and reports facts and findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.data.datamodule import MultimodalData
from mmbert.data.labels import TargetEncoder
from mmbert.data.modalities.base import CellFacts, Modality
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.perceptual_hash import near_pairs
from mmbert.data.quality.classes import class_warnings
from mmbert.data.quality.cut_inputs import CutInputs
from mmbert.data.quality.files import all_facts
from mmbert.data.quality.labels import label_remarks, unlabelled_splits
from mmbert.data.quality.report import NAMED, DataReport, Finding, Severity, SplitFacts, Spread
from mmbert.data.quality.splits import split_remarks
from mmbert.data.tables.outside_files import outside_rows
from mmbert.data.tables.row_checks import nothing_there, rows_without_modality
from mmbert.data.tables.table import SLICE

#: Shows that so many things are done: ``track(things, how_many, what)`` gives them on.
Track = Callable[[Iterable[CellFacts], int, str], Iterable[CellFacts]]
#: Rows by split.
RowsBySplit = dict[str, list[int]]


@dataclass(frozen=True)
class EncoderInput:
    """What an encoder reads.

    Attributes:
        modality: the kind of input.
        options: the encoder's config. ``width``, where it has it, is that of the vectors that it wants; None = the same
            in all rows.
        limit: where it cuts long inputs; None = nowhere, or unknown.
    """

    modality: Modality
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: LengthLimit | None = None


def check_data(
    data: MultimodalData,
    encoders: Mapping[str, EncoderInput],
    tasks: Mapping[str, TargetEncoder],
    track: Track = lambda things, count, what: things,
) -> DataReport:
    """Everything that can be known of the data without a model.

    Args:
        data: a table and its splits, not connected.
        encoders: what each reads, by its name.
        tasks: by name, on the CPU.
        track: shows progress over the files.

    Raises:
        DataError: the table lacks a column.
    """
    inputs = {name: reads.modality for name, reads in encoders.items()}
    data.read_as(inputs)
    data.find_inputs(inputs)
    left_out = data.leave_out_incomplete(encoders)
    check = Check(data, tasks)
    faults = data.time_faults()
    for fault in dict.fromkeys(faults.values()):
        check.find("error", fault, [row for row, why in faults.items() if why == fault])
    check.outside_files(encoders)
    if left_out:
        what = "rows that lack a modality are left out of everything else here (data.rows_without=skip)"
        check.findings.append(Finding("warning", what, [], left_out))
    check.findings += [Finding("warning", note) for note in data.notes]
    for remark in (*split_remarks(data), *label_remarks(data, tasks)):
        check.find("warning", remark.what, remark.rows)
    data.require_columns(encoders)
    check.rows({name: data.column_of(name) for name in encoders})
    for name, reads in encoders.items():
        check.cells(name, reads, track)
    for task in tasks:
        check.labels(task)
    order = {"error": 0, "warning": 1}
    return DataReport(check.splits, sorted(check.findings, key=lambda finding: order[finding.severity]))


class Check:
    """Collects facts and findings.

    Args:
        data: what is checked.
        tasks: by name, on the CPU.
    """

    def __init__(self, data: MultimodalData, tasks: Mapping[str, TargetEncoder]) -> None:
        self.data = data
        self.tasks = tasks
        self.splits = {split: SplitFacts(len(rows)) for split, rows in data.rows.items()}
        self.findings: list[Finding] = []

    def find(
        self, severity: Severity, what: str, rows: Iterable[int], column: str | None = None, subject: str = ""
    ) -> None:
        """Notes a finding, if there are rows that it is true of; with ``column``, their cells are named too.

        If ``what`` may quote a cell, ``subject`` is its beginning that does not.
        """
        numbers = sorted(set(map(int, rows)))
        if numbers:
            named = [self.data.table.where(row).removeprefix(f"{self.data.path}, ") for row in numbers[:NAMED]]
            places = named
            if column is not None and self.data.table.is_text(column):
                cells = self.data.table.column(column, np.asarray(numbers[:NAMED]))
                named = [f"{name} {cell}" for name, cell in zip(named, cells, strict=True)]
            self.findings.append(Finding(severity, what, named, len(numbers), subject, places))

    def rows(self, columns: Mapping[str, str]) -> None:
        """Missing modalities, and rows that have none."""
        for split, rows in self.data.rows.items():
            for name, column in columns.items():
                self.splits[split].missing[name] = int(self.data.table.empty(column)[rows].sum())
        everything = np.concatenate(list(self.data.rows.values()))
        lost = rows_without_modality(self.data.table, everything, columns)
        self.find("error", nothing_there(columns), lost)

    def outside_files(self, encoders: Mapping[str, EncoderInput]) -> None:
        """Files outside the table's folder: a warning, or, with ``data.trusted=false``, an error; then none is read."""
        for name, reads in encoders.items():
            column = self.data.column_of(name)
            everything = np.concatenate(list(self.data.rows.values()))
            rows = outside_rows(self.data.table, everything, {name: column}, {name: reads.modality})
            word = "which data.trusted=false forbids" if self.data.trusted else "which data.trusted=false does not read"
            what = f"{name}, column '{column}': a file outside the table's folder, {word}"
            self.find("warning" if self.data.trusted else "error", what, rows, column)
            if not self.data.trusted:
                gone = np.fromiter(rows, np.int64, len(rows))
                self.data.rows = {split: numbers[~np.isin(numbers, gone)] for split, numbers in self.data.rows.items()}

    def cells(self, name: str, reads: EncoderInput, track: Track) -> None:
        """Reads every cell, each different one once: sizes, faults, and which are the same in several splits."""
        column, table = self.data.column_of(name), self.data.table
        holders: list[RowsBySplit] = self._holders(column)
        firsts = [next(iter(rows.values()))[0] for rows in holders]
        cells = (table.cell(row, column) for row in firsts)
        facts = list(track(all_facts(cells, self.data.table.folder, reads.modality, reads.options), len(firsts), name))
        by_fault: dict[str, list[int]] = defaultdict(list)
        for fact, rows, first in zip(facts, holders, firsts, strict=True):
            if fact.fault:
                by_fault[fault_alone(fact.fault, table.folder, table.cell(first, column))] += all_rows(rows)
        for fault, unreadable in by_fault.items():
            subject = f"{name}, column '{column}'"
            self.find("error", f"{subject}: {fault}", unreadable, column, subject)
        self._remarks(name, column, facts, holders)
        facts = self._measured(column, facts, firsts, reads.limit)
        good = [(fact, rows) for fact, rows in zip(facts, holders, strict=True) if not fact.fault]
        for split in self.splits:
            values: dict[str, list[float]] = defaultdict(list)
            for fact, rows in good:
                for quantity, value in fact.quantities.items():
                    values[quantity] += [value] * len(rows.get(split, ()))
            for quantity, of_rows in values.items():
                self._spread(split, name, quantity, of_rows)
        self._widths(name, reads.options.get("width"), good)
        self._duplicates(name, reads.modality, good)
        if reads.limit is not None:
            self._cut(name, reads.limit, good)

    def _measured(
        self, column: str, facts: list[CellFacts], firsts: Sequence[int], limit: LengthLimit | None
    ) -> list[CellFacts]:
        """The facts, with the quantity that the encoder's limit is about."""
        if limit is None:
            return facts
        lacking = [n for n, fact in enumerate(facts) if not fact.fault and limit.quantity not in fact.quantities]
        for start in range(0, len(lacking), SLICE):
            places = lacking[start : start + SLICE]
            cells = [self.data.table.cell(firsts[n], column) for n in places]
            for n, length in zip(places, limit.measure(cells, self.data.table.folder), strict=True):
                facts[n] = replace(facts[n], quantities={**facts[n].quantities, limit.quantity: length})
        return facts

    def _cut(self, name: str, limit: LengthLimit, facts: Sequence[tuple[CellFacts, RowsBySplit]]) -> None:
        """Rows whose input the encoder cuts."""
        cut = CutInputs(name, limit, 0)
        rows_of: list[int] = []
        for fact, rows in facts:
            length = round(fact.quantities[limit.quantity], 3)
            if length > limit.most:
                rows_of += all_rows(rows)
                cut.lengths += [length] * len(all_rows(rows))
        if rows_of:
            what = f"{name}: longer than {limit.option}={limit.most:g} and cut ({cut.spread()}); {limit.advice(name)}"
            self.find("warning", what, rows_of)

    def _remarks(self, name: str, column: str, facts: Sequence[CellFacts], holders: Sequence[RowsBySplit]) -> None:
        """What training reads otherwise than one may think."""
        by_remark: dict[str, list[int]] = defaultdict(list)
        for fact, rows in zip(facts, holders, strict=True):
            for remark in fact.remarks:
                by_remark[remark] += all_rows(rows)
        for remark, rows_of in by_remark.items():
            subject = f"{name}, column '{column}'"
            self.find("warning", f"{subject}: {remark}", rows_of, column, subject)

    def _holders(self, column: str) -> list[RowsBySplit]:
        """The rows that hold each different file name of a column; cells that are not text count as different."""
        holders: dict[Any, RowsBySplit] = {}
        gone = self.data.table.empty(column)
        words = self.data.table.is_text(column)
        for split, rows in self.data.rows.items():
            there = rows[~gone[rows]]
            keys = self.data.table.column(column, there) if words else there.tolist()
            for row, key in zip(there.tolist(), keys, strict=True):
                holders.setdefault(key, {}).setdefault(split, []).append(row)
        return list(holders.values())

    def _widths(self, name: str, width: int | None, facts: Sequence[tuple[CellFacts, RowsBySplit]]) -> None:
        """Features of another width than the encoder's, or than those of the first row."""
        by_width: dict[int, list[int]] = defaultdict(list)
        for fact, rows in facts:
            if fact.width is not None:
                by_width[fact.width] += all_rows(rows)
        wanted = width or next(iter(by_width), None)
        for found, rows_of in by_width.items():
            if found != wanted:
                self.find("error", f"{name}: vectors of {found} numbers where {wanted} are needed", rows_of)

    def _duplicates(self, name: str, modality: Modality, facts: Sequence[tuple[CellFacts, RowsBySplit]]) -> None:
        """Equal contents, and pictures that look alike though their bytes differ."""
        by_bytes: dict[bytes, RowsBySplit] = defaultdict(lambda: defaultdict(list))
        by_look: dict[int, RowsBySplit] = defaultdict(lambda: defaultdict(list))
        contents: dict[int, set[bytes]] = defaultdict(set)
        for fact, rows in facts:
            for split, numbers in rows.items():
                if fact.digest:
                    by_bytes[fact.digest][split] += numbers
                if fact.look is not None:
                    by_look[fact.look][split] += numbers
                    contents[fact.look].add(fact.digest)
        self._shared(by_bytes.values(), f"{name}: rows of '{{1}}' {modality.duplicates}")
        looks = list(by_look)
        alike = [by_look[look] for look in looks if len(contents[look]) > 1]
        alike += [merged_rows(by_look[looks[i]], by_look[looks[j]]) for i, j in near_pairs(looks)]
        self._shared(alike, f"{name}: rows of '{{1}}' that look nearly the same as a {modality.noun} in '{{0}}'")

    def labels(self, name: str) -> None:
        """Counts of classes, cells that are no labels, and classes that train never shows."""
        task = self.tasks[name]
        if len(task.columns) != 1 or task.aligned_to or not self.data.has_column(task.columns[0]):
            return  # what a label is depends on more than its cell
        (column,) = task.columns
        faults: dict[str, list[int]] = defaultdict(list)
        holders: dict[str, RowsBySplit] = defaultdict(lambda: defaultdict(list))
        for split, rows in self.data.rows.items():
            encoded: dict[int, Any] = {}
            cells = self.data.table.column(column, rows)
            for row, cell in zip(rows.tolist(), cells, strict=True):
                try:
                    encoded |= {} if cell is None else {row: task.encode({column: cell}, {})}
                except DataError as error:
                    faults[str(error)].append(row)
            self.splits[split].unlabelled[name] = sum(cell is None for cell in cells)
            labels = task.decode(task.collate(list(encoded.values()))) if encoded else []
            if task.kind == "regression":
                self._spread(split, name, "value", labels)
            elif task.kind in ("classification", "multilabel"):
                for row, label in zip(encoded, labels, strict=True):
                    for held in [label] if isinstance(label, str) else label:
                        holders[held][split].append(row)
                classes = task.classes  # type: ignore[attr-defined]
                self.splits[split].labels[name] = {c: len(holders[c][split]) for c in classes}
        for what in unlabelled_splits(self.data, {name: task}):
            self.findings.append(Finding("warning", what))
        for fault, rows_of in faults.items():
            subject = f"{name}, column '{column}'"
            self.find("error", f"{subject}: {fault}", rows_of, None, subject)
        for what, concerned in class_warnings(name, self.splits, holders):
            if concerned:
                self.find("warning", what, concerned)
            else:
                self.findings.append(Finding("warning", what))

    def _shared(self, groups: Iterable[RowsBySplit], what: str) -> None:
        """Groups of rows that are the same, by split: a warning for each pair of splits that shares some."""
        pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
        names = list(self.splits)
        for group in groups:
            held = [name for name in names if group.get(name)]
            for i, first in enumerate(held):
                for second in held[i + 1 :]:
                    pairs[first, second] += group[second]
        for (first, second), rows in sorted(pairs.items(), key=lambda item: [names.index(name) for name in item[0]]):
            self.find("warning", what.format(first, second), rows)

    def _spread(self, split: str, name: str, quantity: str, values: list[Any]) -> None:
        spread = Spread.of(values)
        if spread is not None:
            self.splits[split].spreads.setdefault(name, {})[quantity] = spread


def all_rows(rows: RowsBySplit) -> list[int]:
    """The rows of all splits."""
    return [row for numbers in rows.values() for row in numbers]


def merged_rows(first: RowsBySplit, second: RowsBySplit) -> RowsBySplit:
    """Rows by split of two groups."""
    return {split: [*first.get(split, ()), *second.get(split, ())] for split in {*first, *second}}


def fault_alone(fault: str, folder: Path, cell: Any) -> str:
    """A file's fault without its name and the advice, so that equal faults of several files are one finding."""
    if isinstance(cell, str):
        path = named_file(folder, cell)
        fault = fault.removeprefix(f"{path}: ").replace(f" '{path}'", "").replace(path, cell)
    return fault.partition(". Replace")[0]
