"""Splits: which rows are train, val and test, by a column of the table, by a seeded draw, or by folds.

Sizes are exact: of n rows, ``val=0.1`` takes ``round(0.1 n)``. Drawn by groups they come as near to that as whole
groups allow. The same seed and the same table give the same rows, on every machine and for every seed of the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import numpy as np

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.ranges import Range
from mmbert.data.splits.draws import choose, fold_numbers, generator
from mmbert.data.splits.named import SplitColumn, drop_hint
from mmbert.data.tables.table import Table

#: The column that names each row's split, unless ``data.columns.split`` names another.
SPLIT_COLUMN = "split"
#: The share of the other folds' rows that is val, where no option gives another.
VAL_BESIDE_FOLDS = 0.1
#: Values of the split column that a message names at most.
MANY = 20
#: The one split of a table that is taken as a whole.
ALL = "all"
#: Streams of random numbers that do not depend on each other.
TEST_DRAW, VAL_DRAW, FOLD_DRAW, FEW_DRAW = range(4)


@dataclass(frozen=True)
class Drawing:
    """Options ``data.split``, ``data.folds`` and ``data.fold``: how splits are drawn where no column names them.

    Attributes:
        val: share of the rows that is val; None = none is drawn.
        test: share of the rows that is test; None = none is drawn.
        stratify: a column; every one of its values keeps its share in each split. ``auto`` = the labels of the first
            classification task; None = pure chance.
        group: a column; rows with the same value (a speaker, an author, a family) are never in two splits.
        seed: of the draws.
        folds: so many parts of equal size, one of which is test; None = none.
        fold: which part is test, counted from 0.

    Raises:
        ConfigError: an option is out of range or contradicts another.
    """

    val: Annotated[float | None, Range(0, below=1)] = None
    test: Annotated[float | None, Range(0, below=1)] = None
    stratify: str | None = "auto"
    group: str | None = None
    seed: Annotated[int, Range(0)] = 0
    folds: Annotated[int | None, Range(2)] = None
    fold: Annotated[int | None, Range(0)] = None

    def __post_init__(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if share is not None and not 0 < share < 1:
                raise ConfigError(
                    f"data.split.{name}={share}: a share of the rows between 0 and 1 is wanted, like 0.1."
                )
        if (self.val or 0) + (self.test or 0) >= 1:
            raise ConfigError(f"data.split.val={self.val} and data.split.test={self.test} leave no row to train on.")
        if (self.folds is None) != (self.fold is None):
            raise ConfigError("data.folds=K and data.fold=I belong together: fold I of K, counted from 0, is test.")
        if self.folds is not None and self.fold is not None:
            if self.folds < 2:
                raise ConfigError(f"data.folds={self.folds}: two folds are the least.")
            if not 0 <= self.fold < self.folds:
                raise ConfigError(f"data.fold={self.fold}: folds are counted from 0 to {self.folds - 1}.")
            if self.test is not None:
                raise ConfigError("data.split.test and data.folds both make a test split: leave one of them out.")

    @property
    def draws(self) -> bool:
        """Whether anything is drawn at all."""
        return self.val is not None or self.test is not None or self.folds is not None


def split_rows(
    table: Table,
    column: str | None,
    values: Mapping[str, str],
    drawing: Drawing,
    label: str | None = None,
    only: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The rows of every split: those that the split column names, and those that are drawn from train.

    Args:
        table: the samples.
        column: the split column; None = there is none, and all rows are shared out.
        values: the column's value for each split.
        drawing: what is drawn, and how.
        label: what ``stratify=auto`` stands for.
        only: the splits that are wanted; none = all of ``values``; ``["all"]`` = every row in one split of this name.

    Returns:
        (n,) int64 row numbers by split.

    Raises:
        DataError: a split has no row, or a column does not exist.
        ConfigError: a split is both named and drawn.
    """
    if list(only) == [ALL]:
        return {ALL: np.arange(len(table), dtype=np.int64)}
    for name in only:
        if name not in values:
            raise ConfigError(f"There is no split '{name}'. {nearest(name, [*values, ALL])}")
    wanted = list(only) if only and not drawing.draws else list(values)
    if column is not None and (table.has_column(column) or not drawing.draws):
        rows = named_rows(table, column, values, drawing, wanted)
    else:
        if not drawing.draws:
            raise ConfigError("Without a split column the splits are drawn: data.split.val=0.1 data.split.test=0.1.")
        rows = {"train": np.arange(len(table), dtype=np.int64)}
    if drawing.draws:
        rows |= draw_splits(table, rows["train"], drawing, label)
    for name in wanted:
        if name not in rows:
            raise ConfigError(
                f"There is no split '{name}': no column names its rows and none are drawn. "
                f"Draw some, data.split.{name}=0.1{drop_hint(name)}."
            )
    return {name: rows[name] for name in only or values}


def used_column(
    table: Table, column: str | None, splits: Mapping[str, str | None], drawing: Drawing, only: Sequence[str] = ()
) -> SplitColumn | None:
    """The split column as ``split_rows`` uses it; None if it needs none.

    Args:
        table: the samples.
        column: the split column, if there is one.
        splits: the value of each split; None = the split is done without.
        drawing: what is drawn, and how.
        only: the splits that are wanted; none = all.

    Raises:
        DataError: the table lacks the column of the groups that are to be kept together.
    """
    if drawing.group is not None and not only:
        table.require(drawing.group, "Rows with the same value stay in one split: data.split.group=COLUMN, or null.")
    if column is None or not table.has_column(column) or list(only) == [ALL]:
        return None
    left_out = [name for name, value in splits.items() if value is None]
    return SplitColumn(column, {name: str(value) for name, value in splits.items() if value is not None}, left_out)


def named_rows(
    table: Table, column: str, values: Mapping[str, str], drawing: Drawing, wanted: Sequence[str]
) -> dict[str, np.ndarray]:
    """The rows of the wanted splits that the split column names; splits that are drawn must not be in it."""
    table.require(
        column,
        "It says which rows are train, val and test; name another with data.columns.split=COLUMN, or draw the splits: "
        "data.split.val=0.1 data.split.test=0.1",
    )
    found = SplitColumn(column, values).rows(table)
    rows = {name: found[name] for name in wanted}
    drawn = {"val": drawing.val, "test": drawing.test if drawing.folds is None else drawing.folds}
    for name in wanted:
        value = values[name]
        if drawn.get(name) is None:
            if not len(rows[name]):
                raise DataError(no_rows_message(table, column, name, value))
        elif len(rows[name]):
            option = "data.folds" if name == "test" and drawing.folds is not None else f"data.split.{name}"
            raise ConfigError(
                f"{table.path} names {len(rows[name])} rows '{value}' in its column '{column}', and {option} would "
                f"draw others. Leave {option} out, or let all rows be shared out anew: data.columns.split=null"
            )
        else:
            del rows[name]
    return rows


def no_rows_message(table: Table, column: str, name: str, value: str) -> str:
    """The error message for a split that the column does not name."""
    found = [cell for _, cell in islice(table.distinct(column), MANY)]
    draw = f", or draw it from train: data.split.{name}=0.1" if name in ("val", "test") else ""
    return (
        f"{table.path} has no row whose '{column}' is '{value}' (data.splits.{name}). "
        f"{nearest(value, found)} Name another with data.splits.{name}=VALUE{draw}{drop_hint(name)}."
    )


def draw_splits(table: Table, rows: np.ndarray, drawing: Drawing, label: str | None = None) -> dict[str, np.ndarray]:
    """Shares some rows out among train, val and test.

    Args:
        table: where the columns for strata and groups are.
        rows: (n,) int64, what is shared out.
        drawing: how.
        label: what ``stratify=auto`` stands for.

    Returns:
        Sorted row numbers of ``train`` and of what was asked for.

    Raises:
        DataError: a column does not exist.
        ConfigError: a split would have no row.
    """
    strata = strata_of(table, rows, drawing.stratify, label)
    groups = None if drawing.group is None else group_codes(table, drawing.group, rows)
    given = np.full(len(rows), "train", object)
    val = drawing.val
    if drawing.folds is not None:
        assert drawing.fold is not None
        given[fold_numbers(strata, groups, drawing.folds, generator(drawing.seed, FOLD_DRAW)) == drawing.fold] = "test"
        val = (VAL_BESIDE_FOLDS if val is None else val) * float(np.mean(given == "train"))
    if drawing.test is not None:
        given[choose(strata, groups, drawing.test, generator(drawing.seed, TEST_DRAW))] = "test"
    if val is not None:
        left = np.flatnonzero(given == "train")
        share = val * len(rows) / max(1, len(left))
        rest = None if groups is None else groups[left]
        given[left[choose(strata[left], rest, share, generator(drawing.seed, VAL_DRAW))]] = "val"
    names = ["train", *(["val"] if val is not None else []), *(["test"] if "test" in given else [])]
    if drawing.test is not None and "test" not in names:
        raise ConfigError(too_few_rows_message("test", drawing.test, len(rows), drawing.group))
    for name in names:
        if name not in given:
            raise ConfigError(too_few_rows_message(name, val if name == "val" else None, len(rows), drawing.group))
    return {name: np.sort(rows[given == name]) for name in names}


def strata_of(table: Table, rows: np.ndarray, stratify: str | None, label: str | None) -> np.ndarray:
    """(n,) int64: rows with equal numbers are one stratum.

    ``auto`` takes labels only where they are classes: values that occur twice and more on average.
    """
    if stratify == "auto":
        codes = table.codes(label, rows) if label is not None and table.has_column(label) else np.zeros(0, np.int64)
        return codes if len(codes) and 2 * len(np.unique(codes)) <= len(codes) else np.zeros(len(rows), np.int64)
    return np.zeros(len(rows), np.int64) if stratify is None else table.codes(stratify, rows)


def too_few_rows_message(name: str, share: float | None, count: int, group: str | None) -> str:
    """The error message for a split without rows."""
    asked = f"data.split.{name}={share:g}" if share is not None else "what is left of the rows"
    whole = f" in whole groups of '{group}'" if group else ""
    return f"The split '{name}' has no row: {asked} of {count} rows{whole}. Choose other shares, or add rows."


def group_codes(table: Table, column: str, rows: np.ndarray) -> np.ndarray:
    """(n,) int64: equal numbers, same group. A row without a group is a group of its own."""
    codes = table.codes(column, rows)
    alone = codes < 0
    codes[alone] = codes.max(initial=0) + 1 + np.arange(alone.sum())
    return codes


def few_shot(
    table: Table, rows: np.ndarray, column: str | None, per_class: int, seed: int, keep_rare: bool = False
) -> np.ndarray:
    """A balanced subset: so many rows of each class, by chance; rows without a label are left out.

    With ``keep_rare`` a class that has fewer gives all it has.

    Raises:
        ConfigError: no column holds classes.
        DataError: a class has fewer rows.
    """
    if column is None:
        raise ConfigError(f"data.per_class={per_class} needs a task of classification: classes of what?")
    codes = table.codes(column, rows)
    random = generator(seed, FEW_DRAW)
    chosen = []
    for code in np.unique(codes[codes >= 0]):
        members = rows[codes == code]
        if len(members) < per_class and not keep_rare:
            name = table.cell(int(members[0]), column)
            raise DataError(
                f"data.per_class={per_class}: the class '{name}' of '{column}' has {len(members)} rows in train. "
                f"Choose data.per_class={len(members)} or less, add rows, or take all that such a class has: "
                f"data.per_class_rare=keep"
            )
        chosen.append(random.choice(members, min(per_class, len(members)), replace=False))
    if not chosen:
        raise DataError(f"data.per_class={per_class}: no row of train has a label in '{column}'.")
    return np.sort(np.concatenate(chosen))
