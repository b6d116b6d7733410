"""Cells that name files outside the table's folder: by an absolute path, by ``..``, or through a symbolic link.

The author of a table chose its names. One's own table may name files anywhere; that of somebody else could have any
file of the reader's decoded, and shown where samples are shown. ``data.trusted=false`` forbids it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.data.modalities.base import Modality
from mmbert.data.tables.table import Rows, Table


def outside_rows(
    table: Table, rows: Rows, columns: Mapping[str, str], inputs: Mapping[str, Modality]
) -> dict[int, str]:
    """The rows with a cell that names a file outside the table's folder, and which it is.

    Args:
        table: where the rows are.
        rows: those that matter.
        columns: the table's column by encoder name.
        inputs: what the encoders read, by name.
    """
    found: dict[int, str] = {}
    numbers = np.asarray(rows, np.int64)
    for name, column in columns.items():
        if not inputs[name].names_files or not table.has_column(column) or table.streams(column):
            continue
        outside = outside_test(table, inputs[name])
        for row, cell in zip(numbers.tolist(), cells_with_names(table, column, numbers), strict=True):
            if cell is not None and outside(cell):
                file = inputs[name].file_name(cell)
                found.setdefault(row, f"column '{column}': {file} lies outside the table's folder")
    return found


def refuse_outside(table: Table, faults: Mapping[int, str]) -> None:
    """Refuses rows that ``outside_rows`` has found.

    Raises:
        DataError: names the first, and what to do.
    """
    if faults:
        row, fault = next(iter(faults.items()))
        more = f" ({len(faults)} rows are like that.)" if len(faults) > 1 else ""
        raise DataError(
            f"{table.where(row)}, {fault}.{more} data.trusted=false reads no such file: copy it into the folder, leave "
            "such rows out with data.on_error=skip, or, if you trust whoever made the table, data.trusted=true."
        )


def outside_test(table: Table, modality: Modality) -> Callable[[Any], bool]:
    """A function that says of a cell whether reading it opens a file outside the table's folder."""
    base, folders = str(table.folder), [os.path.realpath(folder) for folder in own_folders(table)]
    real_folder = functools.lru_cache(maxsize=10_000)(os.path.realpath)

    def outside(cell: Any) -> bool:
        file = modality.file_name(cell)
        if file is None or isinstance(cell, dict) and cell.get("bytes") is not None:
            return False
        folder, name = os.path.split(named_file(base, file))
        path = os.path.join(real_folder(folder), name)
        if name in ("", ".", "..") or os.path.islink(path):
            path = os.path.realpath(path)
        return not any(path.startswith(os.path.join(own, "")) for own in folders)

    return outside


def own_folders(table: Table) -> Iterator[Path]:
    """Where the files of a table lie: in its folder; those of a data set of a library in its own, or in the caches."""
    if table.path.is_file():
        yield table.folder
        return
    if table.path.is_dir():
        yield table.path
    from datasets import config
    from huggingface_hub import constants

    yield from (Path(config.HF_DATASETS_CACHE), Path(constants.HF_HOME))


def cells_with_names(table: Table, column: str, rows: np.ndarray) -> Iterator[Any]:
    """The cells of some rows, None where empty; one row at a time where they hold whole pictures and sounds."""
    if table.is_media(column):
        yield from (table.cell(row, column) for row in rows.tolist())
    else:
        yield from table.column(column, rows)
