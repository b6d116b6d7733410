"""Keys of a table's inputs: hashes of the bytes of texts, pictures or sounds, which are in the table or in files.

Files are read once (``FileMemo``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mmbert.data.modalities.base import WHOLE_INPUT, Modality, span_of_cell
from mmbert.data.tables.content_key import content_key
from mmbert.data.tables.file_memo import FileMemo, halves
from mmbert.data.tables.table import SLICE, Table

READ_AT_ONCE = 2**20
#: Cells read at a time where pictures or sounds are in the table itself.
MEDIA_CELLS = 64


def content_keys(table: Table, column: str, rows: np.ndarray, modality: Modality, memo: FileMemo) -> np.ndarray:
    """The key of each cell's content.

    Args:
        table: where the cells are.
        column: which of its columns.
        rows: (n,) int64.
        modality: what the cells are; they name files, or hold the content themselves.
        memo: of files that were read before.

    Returns:
        (n, 2) uint64; zeros where the cell is empty, or its file cannot be read.
    """
    known = table.content_keys(column, rows)
    if known is not None:
        return known
    keys = np.zeros((len(rows), 2), np.uint64)
    step = MEDIA_CELLS if table.is_media(column) else SLICE
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        cells = table.column(column, part)
        keys[start : start + len(part)] = cell_keys(cells, modality, table.folder, memo)
    return keys


def cell_keys(cells: Sequence[Any], modality: Modality, folder: Path, memo: FileMemo) -> np.ndarray:
    """(n, 2) uint64: the keys of cells; see ``content_keys``."""
    keys = np.zeros((len(cells), 2), np.uint64)
    files: dict[int, str] = {}
    for number, cell in enumerate(cells):
        if cell is None:
            continue
        content = modality.content(cell, folder)
        if isinstance(content, str):
            files[number] = content
        elif content is not None:
            keys[number] = content_key(content)
    if files:
        keys[list(files)] = memo.keys(list(files.values()))
    for number in files:
        if (part := span_of_cell(cells[number])) != WHOLE_INPUT and keys[number].any():
            keys[number] = content_key(keys[number].tobytes() + repr(part).encode())
    return keys


def file_key(path: str) -> tuple[int, int]:
    """The key of a file's bytes, (0, 0) if it cannot be read."""
    digest = xxhash.xxh3_128()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(READ_AT_ONCE):
                digest.update(block)
    except OSError:
        return 0, 0
    return halves(digest.intdigest())
