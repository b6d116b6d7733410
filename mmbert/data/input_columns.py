"""Which column each encoder reads: the table's own, a part of the files that it names, or one without empty clips.

A cell that names a clip without sound is no sound: for the encoder of sounds it is empty, as if nothing were written
there, and everything that counts, draws or checks empty cells sees it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xxhash

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.core.home import home
from mmbert.data.modalities.base import WHOLE_INPUT, Modality, bytes_and_name, span_of_cell
from mmbert.data.modalities.subtitles import is_subtitle_name
from mmbert.data.tables.derived_columns import Span, Without
from mmbert.data.tables.file_memo import FileMemo
from mmbert.data.tables.table import Table
from mmbert.data.tables.times import span_faults

#: Names under ``data.columns`` of the columns that say which part of a file is meant.
TIME_COLUMNS = ("start", "end")


@dataclass
class InputColumns:
    """What was found.

    Attributes:
        columns: the column by encoder name, where it is not the table's own.
        notes: what a run should tell, a sentence each.
        faults: rows whose times cannot be used, and why.
    """

    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def find_input_columns(
    table: Table,
    columns: Mapping[str, str],
    inputs: Mapping[str, Modality],
    start: str | None,
    end: str | None,
    look: bool = True,
) -> InputColumns:
    """Adds to a table what encoders read of it.

    Args:
        table: where the cells are.
        columns: the table's own column by encoder name.
        inputs: what each encoder reads.
        start: the column of times, in seconds, at which the part that is meant begins; None = at 0.
        end: likewise where it ends; None = with the file.
        look: open the files, to find clips without a track of the kind that is wanted.

    Raises:
        DataError: the table lacks a column of times.
    """
    found = InputColumns()
    there = [name for name in inputs if table.has_column(columns[name])]
    timed = bool(start or end)
    lasting = [name for name in there if inputs[name].lasts or timed and names_subtitles(table, columns[name])]
    if lasting and timed:
        for option, column in (("start", start), ("end", end)):
            if column:
                table.require(column, f"data.columns.{option}=null reads whole files.")
        times = [table.column(column) if column else [None] * len(table) for column in (start, end)]
        where = " and ".join(f"'{column}'" for column in (start, end) if column)
        faults = span_faults(*times)
        found.faults = {row: f"column {where}: {fault}" for row, fault in faults.items()}
    for name in lasting:
        column = columns[name]
        if timed:
            found.columns[name] = column = table.add(Span(column, start, end))
        look_here = look and inputs[name].lasts
        gone = cells_without_track(table, column, inputs[name]) if look_here else np.zeros(0, bool)
        if gone.any():
            found.columns[name] = table.add(Without(column, name, np.packbits(gone).tobytes()))
            number = int(gone.sum())
            found.notes.append(f"{number:,} {inputs[name].lacking[number > 1]}: '{name}' counts as missing there")
    return found


def names_subtitles(table: Table, column: str) -> bool:
    """Whether every cell of a column of texts names a file of subtitles."""
    if not table.is_text(column):
        return False
    cells = [cell for _, cell in table.distinct(column)]
    return bool(cells) and all(is_subtitle_name(cell) for cell in cells)


def cells_without_track(table: Table, column: str, modality: Modality) -> np.ndarray:
    """(rows,) bool: cells that name or hold a file without anything of a modality's kind; see ``has_nothing``.

    What was found of whole files is remembered by their names, sizes and times.
    """
    gone = np.zeros(len(table), bool)
    if table.is_media(column):
        there = ~table.empty(column)
        if table.streams(column):  # what is no clip by its name is not read
            there &= np.array([modality.may_lack(name or "") for name in table.content_names(column)], bool)
        for row in np.flatnonzero(there).tolist():
            cell = table.cell(row, column)
            gone[row] = cell is not None and modality.has_nothing(cell, table.folder)
        return gone
    rows, paths = [], []
    for row, cell in enumerate(table.column(column)):
        name = bytes_and_name(cell)[1]
        if name is None or not modality.may_lack(name):
            continue
        if modality.looks_at_parts and span_of_cell(cell) != WHOLE_INPUT:
            gone[row] = modality.has_nothing(cell, table.folder)
        else:
            rows.append(row)
            paths.append(named_file(table.folder, name))
    if rows:
        key = xxhash.xxh3_64_hexdigest(f"{table.path.resolve()}\n{column}\n{modality.kind}{modality.variant}".encode())
        memo = FileMemo(home() / "clips" / f"{key}.npy", lambda path: (1, 1 + modality.has_nothing(path, "")))
        found = memo.keys(paths)
        memo.save()
        gone[rows] = found[:, 1] == 2
    return gone


def refuse_times(table: Table, faults: Mapping[int, str]) -> None:
    """Refuses rows whose times cannot be used.

    Raises:
        DataError: names the first, and what to do.
    """
    if faults:
        row, fault = next(iter(faults.items()))
        more = f" ({len(faults)} rows are like that.)" if len(faults) > 1 else ""
        raise DataError(
            f"{table.where(row)}, {fault}.{more} Mend the cells, or leave such rows out with data.on_error=skip."
        )
