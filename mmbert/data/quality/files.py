"""Reads every cell of a column once and measures it: faults, sizes, digests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.base import CellFacts, Modality
from mmbert.data.tables.cells import cell_excerpt

#: Cells that are taken up at a time: memory holds no more decoded ones than there are threads.
AHEAD = 256


def cell_facts(cell: Any, folder: Path, modality: Modality, options: Mapping[str, Any]) -> CellFacts:
    """Reads one cell as training would: images and sounds are decoded whole.

    Args:
        cell: not empty.
        folder: of the table.
        modality: what the cell is.
        options: config of the encoder that reads it.
    """
    try:
        return modality.inspect(cell, folder, options)
    except MmbertError as error:
        return CellFacts(fault=str(error))
    except MemoryError:
        return CellFacts(fault=f"'{cell_excerpt(cell)}': it needs more memory than this machine has")


def all_facts(
    cells: Iterable[Any], folder: Path, modality: Modality, options: Mapping[str, Any]
) -> Iterator[CellFacts]:
    """The facts of every cell, in order; several files are read at a time."""
    if not modality.names_files:
        yield from (cell_facts(cell, folder, modality, options) for cell in cells)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        rest = iter(cells)
        while part := list(islice(rest, AHEAD)):
            yield from pool.map(lambda cell: cell_facts(cell, folder, modality, options), part)
