"""The split column: which rows each of its values means, which writings are joined, and which rows are in no split.

Cells and the values of ``data.splits`` are compared by the rule of ``cells.py``, so that ``train `` and a truth value
``TRUE`` are found. Capitals do not count, ``Train`` is ``train``, unless ``data.splits`` names two values that differ
in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.data.tables.cells import cell_key
from mmbert.data.tables.table import Table


@dataclass(frozen=True)
class SplitColumn:
    """A column that names splits.

    Attributes:
        name: of the column.
        values: the value of each split, by split.
        left_out: splits that are done without (``data.splits.test=null``); rows that bear their name are not missed.
    """

    name: str
    values: Mapping[str, str]
    left_out: Sequence[str] = ()

    def rows(self, table: Table) -> dict[str, np.ndarray]:
        """(n,) int64 row numbers by split, some of which may have none."""
        codes, keys = table.coded(self.name)
        meant = self.meant(keys)
        return {
            split: np.flatnonzero(np.isin(codes, [code for code, name in enumerate(meant) if name == split]))
            for split in self.values
        }

    def rows_of_no_split(self, table: Table) -> dict[str | None, np.ndarray]:
        """(n,) int64 row numbers by what their cell says; None = it is empty."""
        codes, keys = table.coded(self.name)
        unmissed = {str(cell_key(name)).casefold() for name in self.left_out}
        left = [
            code
            for code, (key, split) in enumerate(zip(keys, self.meant(keys), strict=True))
            if split is None and key.casefold() not in unmissed
        ]
        found: dict[str | None, np.ndarray] = {keys[code]: np.flatnonzero(codes == code) for code in left}
        empty = np.flatnonzero(codes < 0)
        return found | ({None: empty} if len(empty) else {})

    def joined(self, table: Table) -> dict[tuple[str, str], np.ndarray]:
        """(n,) int64 row numbers by (how a cell is written, the split that it counts as), where that is not obvious."""
        if not table.is_text(self.name):
            return {}
        _, keys = table.coded(self.name)
        split_of = dict(zip(keys, self.meant(keys), strict=True))
        rows: dict[tuple[str, str], list[int]] = {}
        for row, cell in enumerate(table.column(self.name)):
            split = None if cell is None else split_of[str(cell_key(cell))]
            if split is not None and (cell != cell.strip() or cell_key(cell) != cell_key(self.values[split])):
                rows.setdefault((cell, split), []).append(row)
        return {writing: np.array(numbers, np.int64) for writing, numbers in rows.items()}

    def meant(self, keys: Sequence[str]) -> list[str | None]:
        """The split that each different key of the column means; None = none."""
        wanted = {cell_key(value): split for split, value in self.values.items()}
        near: dict[str, list[str]] = {}
        for key, split in wanted.items():
            near.setdefault(str(key).casefold(), []).append(split)
        found: list[str | None] = []
        for key in keys:
            others = near.get(key.casefold(), [])
            found.append(wanted.get(key, others[0] if len(others) == 1 else None))
        return found


def checked_splits(splits: Mapping[str, str | None]) -> dict[str, str]:
    """The splits that there are, by name.

    Raises:
        ConfigError: train or val is missing, a name cannot be that of a file, or two splits are the same rows: what
            chooses a model must not judge it.
    """
    given = {name: str(value) for name, value in splits.items() if value is not None}
    for name in ("train", "val"):
        if name not in given:
            drawn = (
                "" if name == "train" else " To draw it from train, leave data.splits.val and set data.split.val=0.1."
            )
            raise ConfigError(f"data.splits needs '{name}': which value of the split column is it?{drawn}")
    for name in given:
        if not name.strip(".") or not name.isprintable() or set(name) & set("/\\"):
            raise ConfigError(f"data.splits: '{name}' cannot name a split, for files are named after it: try 'test_a'.")
    for name, value in given.items():
        twin = next((o for o in given if o != name and cell_key(given[o]) == cell_key(value)), None)
        if twin is not None:
            raise ConfigError(
                f"data.splits.{name} and data.splits.{twin} are both '{value}': the same rows would be used twice. "
                f"Name another value{drop_hint(twin)}."
            )
    return given


def drop_hint(split: str) -> str:
    """How to do without a split, where that is possible."""
    return "" if split in ("train", "val") else f", or do without it: data.splits.{split}=null"


def default_splits() -> dict[str, str]:
    """Splits that are called what they are."""
    return {"train": "train", "val": "val", "test": "test"}
