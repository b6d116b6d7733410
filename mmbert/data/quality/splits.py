"""What is remarkable about the splits: rows that are in none, writings that were joined, groups that are in several."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from mmbert.data.datamodule import MultimodalData
from mmbert.data.quality.remark import Remark

#: Values of the split column that have a remark each; the others share one.
MANY_VALUES = 10


def split_remarks(data: MultimodalData) -> list[Remark]:
    """Everything that is remarkable about the splits, worst first; no file is opened."""
    return [*straddling_groups(data), *rows_of_no_split(data), *joined_writings(data)]


def rows_of_no_split(data: MultimodalData) -> Iterator[Remark]:
    """The rows that no split has, by what their cell of the split column says."""
    column = data.split_column
    if column is None:
        return
    found = column.rows_of_no_split(data.table)
    for value in list(found)[:MANY_VALUES]:
        says = "empty" if value is None else f"'{value}'"
        yield Remark(f"rows whose '{column.name}' is {says} are in no split and are not used", found[value])
    rest = list(found)[MANY_VALUES:]
    if rest:
        what = f"rows with {len(rest):,} other values of '{column.name}' are in no split and are not used"
        yield Remark(what, np.sort(np.concatenate([found[value] for value in rest])))


def joined_writings(data: MultimodalData) -> Iterator[Remark]:
    """The rows whose cell of the split column is not written like the split's value."""
    column = data.split_column
    if column is None:
        return
    for (cell, split), rows in column.joined(data.table).items():
        yield Remark(f"rows whose '{column.name}' is '{cell}' count as '{column.values[split]}'", rows)


def straddling_groups(data: MultimodalData) -> Iterator[Remark]:
    """The rows whose group another split has too, because the split column does not keep groups together."""
    group = data.drawing.group
    if group is None or not data.table.has_column(group):
        return
    codes = data.table.codes(group)
    for first, second in combinations(data.rows, 2):
        ours, theirs = codes[data.rows[first]], codes[data.rows[second]]
        rows = data.rows[second][np.isin(theirs, ours[ours >= 0])]
        if len(rows):
            yield Remark(f"rows of '{second}' whose group (column '{group}') is in '{first}' too", rows)
