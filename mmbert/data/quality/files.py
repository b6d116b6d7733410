"""Reads every cell of a column once and measures it: faults, sizes, digests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.base import CellFacts, Modality
from mmbert.data.tables.cells import cell_excerpt

OfCell = TypeVar("OfCell")
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
    return read_each(cells, lambda cell: cell_facts(cell, folder, modality, options), modality.names_files)


def read_each(cells: Iterable[Any], read: Callable[[Any], OfCell], from_files: bool) -> Iterator[OfCell]:
    """What a function makes of every cell, in order.

    Args:
        cells: any number.
        read: of a cell; it must be safe to call in several threads.
        from_files: whether it waits for a disk or decodes, so that several threads are of use.
    """
    if not from_files:
        yield from map(read, cells)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        rest = iter(cells)
        while part := list(islice(rest, AHEAD)):
            yield from pool.map(read, part)
