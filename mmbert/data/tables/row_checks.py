"""Which rows of a table cannot be used, found before training: without modality, without file, or wrongly labelled."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.data.labels import TargetEncoder
from mmbert.data.modalities.base import Modality, bytes_and_name
from mmbert.data.modalities.errors import NOT_ALLOWED
from mmbert.data.tables.table import Rows, Table

#: What to do about a label that its task cannot use, and about any row that cannot be used.
MEND_LABEL = "Mend the cell, or empty it (an unlabelled sample is ordinary)"
LEAVE_OUT = "data.on_error=skip leaves such rows out."


def check_table(
    table: Table,
    rows: Rows,
    columns: Mapping[str, str],
    inputs: Mapping[str, Modality],
    tasks: Mapping[str, TargetEncoder],
    files: bool,
) -> None:
    """``check_rows``, ``check_labels`` and, with ``files``, ``check_files``.

    Raises:
        DataError: names the first row that cannot be used.
    """
    check_rows(table, rows, columns)
    check_labels(table, rows, tasks, columns, inputs)
    if files:
        check_files(table, rows, columns, inputs)
    pa.default_memory_pool().release_unused()  # what the checks held of the columns


def without_rows(table: Table, rows: Mapping[str, np.ndarray], faults: Mapping[int, str]) -> dict[str, np.ndarray]:
    """The rows (n,) int64 of every split without those that have a fault.

    Raises:
        DataError: a split has no row left; names the fault of its first.
    """
    found = {}
    for split, numbers in rows.items():
        found[split] = numbers[~np.isin(numbers, np.fromiter(faults, np.int64, len(faults)))]
        if len(numbers) and not len(found[split]):
            first = int(numbers[0])
            raise DataError(f"No row of '{split}' can be used. {table.where(first)}: {faults[first]}.")
    return found


def check_rows(table: Table, rows: Rows, columns: Mapping[str, str]) -> None:
    """Refuses samples that have no modality at all.

    Raises:
        DataError: names the first such row.
    """
    lost = rows_without_modality(table, rows, columns)
    if len(lost):
        more = f" ({len(lost)} rows are like that.)" if len(lost) > 1 else ""
        raise DataError(
            f"{table.where(int(lost[0]))}: {nothing_there(columns)}.{more} "
            "Fill in one of them or remove the row. data.on_error=skip leaves such rows out. In a study of subsets of "
            "modalities, data.rows_without=skip leaves out every row that lacks one, so that all subsets have the same."
        )


def nothing_there(columns: Mapping[str, str]) -> str:
    """What is wrong with a row that has no modality."""
    names = list(columns.values())
    return f"every modality is missing ({', '.join(names)} {'is' if len(names) == 1 else 'are'} empty)"


def rows_without_modality(
    table: Table, rows: Rows, columns: Mapping[str, str], taken: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """(n,) int64: those of the rows whose cells are all empty, or taken away ((table's rows,) bool by encoder)."""
    gone = np.ones(len(table), bool)
    for name, column in columns.items():
        gone &= table.empty(column) | (taken or {}).get(name, False)
    return np.asarray(rows, np.int64)[gone[np.asarray(rows, np.int64)]]


def incomplete_rows(table: Table, rows: Rows, columns: Iterable[str]) -> dict[int, str]:
    """The rows in which a cell of one of the columns is empty, and which that is."""
    numbers = np.asarray(rows, np.int64)
    found: dict[int, str] = {}
    for column in columns:
        reason = f"column '{column}' is empty, and data.rows_without=skip leaves such rows out"
        for row in numbers[table.empty(column)[numbers]].tolist():
            found.setdefault(row, reason)
    return found


def unusable_rows(
    table: Table, rows: Rows, columns: Mapping[str, str], inputs: Mapping[str, Modality], files: bool
) -> dict[int, str]:
    """What ``check_rows`` and ``check_files`` would refuse: every such row, and why.

    Args:
        table: where the rows are.
        rows: those that matter.
        columns: the table's column by encoder name.
        inputs: what the encoders read, by name.
        files: whether to look for the files.
    """
    reason = nothing_there(columns)
    found = {int(row): reason for row in rows_without_modality(table, rows, columns)}
    for column, lost in file_faults(table, rows, columns, inputs) if files else ():
        faults = {bytes_and_name(table.cell(row, column))[1]: fault for row, fault in lost}
        for row, cell in zip(rows, table.column(column, rows), strict=True) if faults else ():
            name = bytes_and_name(cell)[1]
            if name is not None and name in faults:
                found.setdefault(int(row), f"column '{column}': {faults[name]}")
    return found


def check_labels(
    table: Table,
    rows: Rows,
    tasks: Mapping[str, TargetEncoder],
    columns: Mapping[str, str] | None = None,
    inputs: Mapping[str, Modality] | None = None,
) -> None:
    """Refuses label cells that their task cannot read; where a cell alone decides, each distinct one is tried once.

    Labels that belong to a raw text, or lie in several cells, are held against it as far as the task can say without
    tokens (``Task.check_label``).

    Args:
        table: where the rows are.
        rows: those that matter.
        tasks: by name.
        columns: the table's column by encoder name.
        inputs: what the encoders read, by name.

    Raises:
        DataError: names the first such row.
    """
    for name, task in tasks.items():
        for row, _, error in label_faults(table, rows, task, columns or {}, inputs or {}):
            classes = (
                f", or say what the labels are with tasks.{name}.classes=[...]" if hasattr(task, "classes") else ""
            )
            where = f"{table.where(row)}, {label_columns(task)}"
            raise DataError(f"{where}: {str(error).rstrip('.')}. {MEND_LABEL}{classes}. {LEAVE_OUT}") from error


def unusable_labels(
    table: Table,
    rows: Rows,
    tasks: Mapping[str, TargetEncoder],
    columns: Mapping[str, str],
    inputs: Mapping[str, Modality],
) -> dict[int, str]:
    """What ``check_labels`` would refuse: every such row, and why."""
    found: dict[int, str] = {}
    for task in tasks.values():
        faults: dict[str, str] = {}
        for row, cell, error in label_faults(table, rows, task, columns, inputs):
            faults[repr(cell)] = f"{label_columns(task)}: {error}"
            found.setdefault(row, faults[repr(cell)])
        if faults and by_cell_alone(table, task):
            for row, cell in zip(rows, table.column(task.columns[0], rows), strict=True):
                if cell is not None and (fault := faults.get(repr(cell))) is not None:
                    found.setdefault(int(row), fault)
    return found


def label_columns(task: TargetEncoder) -> str:
    """``column 'label'``: what a task reads, for messages."""
    return f"column{'s' * (len(task.columns) != 1)} {', '.join(map(repr, task.columns))}"


def by_cell_alone(table: Table, task: TargetEncoder) -> bool:
    """Whether one cell alone decides what a task's label is."""
    return len(task.columns) == 1 and not task.aligned_to and table.has_column(task.columns[0])


def label_faults(
    table: Table, rows: Rows, task: TargetEncoder, columns: Mapping[str, str], inputs: Mapping[str, Modality]
) -> Iterator[tuple[int, Any, DataError]]:
    """Each different label that a task cannot read: the first row that has it, the cell, and what is wrong."""
    if not by_cell_alone(table, task):
        yield from aligned_label_faults(table, rows, task, columns, inputs)
        return
    (column,) = task.columns
    for row, cell in table.distinct(column, rows):
        try:
            task.encode({column: cell}, {})
        except DataError as error:
            yield row, cell, error


def aligned_label_faults(
    table: Table, rows: Rows, task: TargetEncoder, columns: Mapping[str, str], inputs: Mapping[str, Modality]
) -> Iterator[tuple[int, Any, DataError]]:
    """The same of a task whose labels belong to a raw text, or lie in several cells: every row by itself."""
    known = [column for column in task.columns if table.has_column(column)]
    names = [name for name in task.aligned_to if name in columns and table.has_column(columns[name])]
    names = [name for name in names if not inputs[name].names_files]  # files are not opened for this
    if not known:
        return
    for row in np.asarray(rows, np.int64).tolist():
        cells = dict.fromkeys(task.columns) | {column: table.cell(row, column) for column in known}
        if all(cell is None for cell in cells.values()):
            continue
        try:
            given = {name: table.cell(row, columns[name]) for name in names}
            there = {name: inputs[name].read(cell, table.folder) for name, cell in given.items() if cell is not None}
            raws = {name: inputs[name].labelled_part(raw) for name, raw in there.items()}
            task.check_label(cells, raws)
        except DataError as error:
            yield row, cells, error


def check_files(table: Table, rows: Rows, columns: Mapping[str, str], inputs: Mapping[str, Modality]) -> None:
    """Refuses cells that name a file which is not there, or is empty.

    Raises:
        DataError: names the first such row, and how many there are.
    """
    for column, lost in file_faults(table, rows, columns, inputs):
        if lost:
            row, fault = lost[0]
            more = f" ({len(lost)} files of this column are like that.)" if len(lost) > 1 else ""
            raise DataError(
                f"{table.where(row)}, column '{column}': {fault}.{more} Paths are relative to the table; an empty "
                "cell says that the modality is missing. data.on_error=skip leaves such rows out."
            )


def file_faults(
    table: Table, rows: Rows, columns: Mapping[str, str], inputs: Mapping[str, Modality]
) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Each column of files with the cells that name none: the first row that has the cell, and what is wrong."""
    for name, column in columns.items():
        modality = inputs[name]
        if not modality.names_files or table.is_media(column):
            continue
        lost: list[tuple[int, str]] = []
        for row, cell in table.distinct(column, rows):
            file = modality.file_name(cell)
            if file is None:
                break  # the inputs themselves
            fault = file_fault(named_file(table.folder, file))
            if fault:
                lost.append((row, fault))
        yield column, lost


def file_fault(path: str) -> str:
    """Why a file cannot be read, as far as its name, kind and size say; empty where they show no fault."""
    try:
        found = os.stat(path)
    except PermissionError:
        return f"{path}: {NOT_ALLOWED}"
    except (OSError, ValueError):  # ValueError: a null character in the name
        return f"there is no file {path}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is no file"
    return "" if found.st_size else f"{path} is empty (0 bytes)"
