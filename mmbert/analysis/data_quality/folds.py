"""Folds in which no row, and no group of rows, is predicted by a model that has seen it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.data.splits.draws import choose, fold_numbers, generator

#: The part of a fold's other rows that chooses its checkpoint and the temperature of its unimodal heads.
VALIDATION_SHARE = 0.15
#: Streams of random numbers (``draws.generator``); those before them are for splits.
FOLD_DRAW, VALIDATION_DRAW = 21, 22


@dataclass(frozen=True)
class Fold:
    """One part that is held out.

    Attributes:
        train, val, held_out: (n,) int64 rows of the table, in order; no row and no group of ``held_out`` is elsewhere.
    """

    train: np.ndarray
    val: np.ndarray
    held_out: np.ndarray

    def by_split(self) -> dict[str, np.ndarray]:
        """As data have them."""
        return {"train": self.train, "val": self.val, "held_out": self.held_out}


def make_folds(
    rows: np.ndarray, strata: np.ndarray, groups: np.ndarray | None, count: int, seed: int
) -> Iterator[Fold]:
    """Deals all rows out into folds.

    Args:
        rows: (N,) int64 of the table.
        strata: (N,) int64, classes that every fold has its share of, where they have enough members.
        groups: (N,) int64, of which each stays in one fold; below 0 = the row is a group by itself. None = all are.
        count: of folds.
        seed: of the draws.

    Raises:
        ConfigError: there are fewer rows, or groups, than folds.
    """
    if groups is not None:
        groups = np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)
    parts = len(rows) if groups is None else len(np.unique(groups))
    if parts < count:
        raise ConfigError(f"folds={count}: there are only {parts} {'rows' if groups is None else 'groups'}.")
    number = fold_numbers(strata, groups, count, generator(seed, FOLD_DRAW))
    for fold in range(count):
        others = np.flatnonzero(number != fold)
        chosen = others[choose(strata[others], None, VALIDATION_SHARE, generator(seed, VALIDATION_DRAW + fold))]
        train = np.setdiff1d(others, chosen)
        yield Fold(np.sort(rows[train]), np.sort(rows[chosen]), np.sort(rows[number == fold]))
