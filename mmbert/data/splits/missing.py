"""Missing modalities: cells that are removed on purpose, by a declared mechanism, for studies of missing data.

Which cells a sample loses follows from the seed, its row number and its content alone: not from the order, the batch,
the epoch or the number of workers. ``rate`` is the share of samples that become *incomplete*, of those that can: a
sample has to have two modalities of which one may go, and never loses all. The mechanisms, in the terms of Rubin 1976,
"Inference and missing data", Biometrika 63:581:

    random     missing completely at random: each incomplete sample loses any proper part of its modalities, all parts
               being equally likely (with three: one in half of the cases, two in the other half)
    label      samples of some classes are incomplete more often than those of others; what they lose is as in random
    value      missing not at random: large cells are lost more often than small ones. The size is how many letters a
               text has, how many bytes a file, how many numbers a sequence of features: what there is much of
    exclusive  of the modalities an incomplete sample keeps exactly one, each with the same chance, so that no two of
               them are ever seen together; with rate 1 the data are unpaired

With S the part that sample i loses, all of this is one log-linear model:

    P(i is incomplete) = σ(a + log mean over S of exp θᵢ(S)),     P(S | i is incomplete) ∝ exp θᵢ(S)

θ is 0 for random and exclusive, ``strength`` times the score of the sample's class for label, and ``strength`` times
the sum of the scores of the cells in S for value. Scores lie evenly between -1 and 1: of classes in an order drawn with
the seed, of cells by the rank of their size among those of the split. a makes the mean of the chances equal to the rate
in each split, so that what is realised differs from what is declared by the chance of the draw alone. A larger rate
takes away from the samples that a smaller one takes away from, and from others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.ranges import Many, Range, String
from mmbert.data.modalities.base import Modality
from mmbert.data.splits.draws import generator
from mmbert.data.tables.cells import cell_text
from mmbert.data.tables.table import Table

Mechanism = Literal["random", "label", "value", "exclusive"]
#: Streams of random numbers; those before them are for drawing splits.
CELL_DRAW, CLASS_DRAW = 4, 5


@dataclass(frozen=True)
class Missing:
    """The config node ``data.missing``.

    Attributes:
        rate: share of the samples that lose something, from 0 to 1; of those that have two modalities or more.
        mechanism: ``random``, ``label``, ``value`` or ``exclusive``.
        modalities: encoders whose modality may be lost; None = all.
        splits: in which samples lose something; None = all.
        column: of mechanism ``label``: the column of classes; None = that of the first classification task.
        strength: of mechanisms ``label`` and ``value``: how much the log-odds of the extremes differ from the middle's.
        seed: of the draw, whatever the run's own seed.

    Raises:
        ConfigError: an option is out of range.
    """

    rate: Annotated[float, Range(0, 1)] = 0.0
    mechanism: Mechanism = "random"
    modalities: Annotated[Sequence[str] | None, Many(String("a name"))] = None
    splits: Annotated[Sequence[str] | None, Many(String("a name"))] = None
    column: str | None = None
    strength: Annotated[float, Range(0, 20)] = 2.0
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ConfigError(f"data.missing.rate={self.rate}: a share of the samples from 0 to 1 is wanted.")
        if self.mechanism not in get_args(Mechanism):
            raise ConfigError(
                f"data.missing.mechanism={self.mechanism} is unknown. {nearest(self.mechanism, get_args(Mechanism))}"
            )
        if not 0 <= self.strength <= 20:
            raise ConfigError(f"data.missing.strength={self.strength}: a number from 0 to 20 is wanted.")

    def touches(self, split: str) -> bool:
        """Whether samples of a split lose anything."""
        return self.rate > 0 and (self.splits is None or split in self.splits)

    def check_modalities(self, names: Sequence[str]) -> None:
        """Refuses names that are no encoder.

        Raises:
            ConfigError: names it and the nearest.
        """
        self._check("modalities", self.modalities, names)

    def check_splits(self, names: Sequence[str]) -> None:
        """Refuses names that are no split.

        Raises:
            ConfigError: names it and the nearest.
        """
        self._check("splits", self.splits, names)

    def _check(self, option: str, given: Sequence[str] | None, known: Sequence[str]) -> None:
        for name in given or () if self.rate else ():
            if name not in known:
                raise ConfigError(f"data.missing.{option} names '{name}'. {nearest(name, known)}")

    def draw(
        self,
        table: Table,
        rows: np.ndarray,
        columns: Mapping[str, str],
        inputs: Mapping[str, Modality],
        label: str | None = None,
        present: np.ndarray | None = None,
    ) -> np.ndarray:
        """What the rows of one split lose.

        Args:
            table: where they are.
            rows: (n,) int64.
            columns: the table's column by encoder name, M of them.
            inputs: what each encoder reads.
            label: the column of classes that stands for ``column=None``.
            present: (n, M) bool, which cells are there; None = those that are not empty.

        Returns:
            (n, M) bool, True = taken away.

        Raises:
            ConfigError: no row can lose anything, or there is no column of classes for ``label``.
        """
        there = present_cells(table, rows, columns) if present is None else present
        names = list(columns)
        may_go = np.array([self.modalities is None or name in self.modalities for name in names])
        if not self.rate or not len(rows):
            return np.zeros_like(there)
        scores = self._scores(table, rows, columns, inputs, there, label)
        chosen = self._choose(there, may_go, scores, rows)
        if chosen is None:
            raise ConfigError(
                f"data.missing.rate={self.rate}: no row has {'two' if self.mechanism == 'exclusive' else 'another'} "
                f"modality beside one that could be taken away ({', '.join(np.array(names)[may_go])}). "
                "Use more encoders, or data.missing.rate=0."
            )
        return chosen

    def _scores(
        self,
        table: Table,
        rows: np.ndarray,
        columns: Mapping[str, str],
        inputs: Mapping[str, Modality],
        there: np.ndarray,
        label: str | None,
    ) -> np.ndarray | None:
        """(n, 1) of classes, (n, M) of cells, None where nothing counts."""
        if self.mechanism == "label":
            return self.strength * self._class_scores(table, rows, self.column or label)[:, None]
        if self.mechanism == "value":
            sizes = [cell_sizes(table, column, rows, inputs[name]) for name, column in columns.items()]
            return self.strength * np.stack([rank_scores(s, there[:, m]) for m, s in enumerate(sizes)], 1)
        return None

    def _class_scores(self, table: Table, rows: np.ndarray, column: str | None) -> np.ndarray:
        """(n,) between -1 and 1, 0 where there is no label; a class has the same score in every split."""
        if column is None:
            raise ConfigError(
                "data.missing.mechanism=label: no task has classes. Name the column: data.missing.column=COLUMN."
            )
        if not table.has_column(column):
            raise ConfigError(f"data.missing.column={column}: {nearest(column, table.column_names)}")
        codes = table.codes(column)
        values, firsts = np.unique(codes, return_index=True)
        values, firsts = values[values >= 0], firsts[values >= 0]
        labelled = int((codes >= 0).sum())
        if len(values) < 2 or 2 * len(values) > labelled:
            raise ConfigError(
                f"data.missing.column={column}: it has {len(values)} different values in {labelled} rows, which are "
                "no classes. Name another: data.missing.column=COLUMN."
            )
        words = {cell_text(table.cell(int(row), column)): int(code) for code, row in zip(values, firsts, strict=True)}
        order = generator(self.seed, CLASS_DRAW).permutation(len(words))
        by_code = np.zeros(max(words.values()) + 2)  # the last is that of no label
        for place, word in zip(order, sorted(words), strict=True):
            by_code[words[word]] = 2 * place / (len(words) - 1) - 1
        return by_code[codes[np.asarray(rows, np.int64)]]

    def _choose(
        self, there: np.ndarray, may_go: np.ndarray, scores: np.ndarray | None, rows: np.ndarray
    ) -> np.ndarray | None:
        """(n, M) bool; None if no row can lose anything."""
        patterns, pattern_of = np.unique(there, axis=0, return_inverse=True)
        parts = [self._parts(pattern, may_go) for pattern in patterns]
        groups = [(np.flatnonzero(pattern_of.ravel() == k), part) for k, part in enumerate(parts) if len(part)]
        if not groups:
            return None
        thetas = [np.zeros((len(g), len(p))) if scores is None else theta(scores[g], p) for g, p in groups]
        weights = [np.log(np.exp(t).mean(1)) for t in thetas]
        chances = tilted(np.concatenate(weights), self.rate)
        numbers = generator(self.seed, CELL_DRAW).random((int(np.max(rows)) + 1, 2))[np.asarray(rows, np.int64)]
        taken = np.zeros_like(there)
        ends = np.cumsum([len(g) for g, _ in groups])[:-1]
        for (group, part), values, chance in zip(groups, thetas, np.split(chances, ends), strict=True):
            lost = numbers[group, 0] < chance
            shares = np.cumsum(np.exp(values), 1)
            which = (numbers[group, 1, None] * shares[:, -1:] >= shares).sum(1).clip(max=len(part) - 1)
            taken[group] = part[which] & lost[:, None]
        return taken

    def realised(self, taken: np.ndarray, there: np.ndarray, names: Sequence[str]) -> dict[str, float]:
        """What a draw came to: ``incomplete``, to be held against the rate, and the share of each modality's cells.

        Args:
            taken: (n, M) bool.
            there: (n, M) bool, which cells were there before.
            names: M.
        """
        may_go = np.array([self.modalities is None or name in self.modalities for name in names])
        patterns, pattern_of = np.unique(there, axis=0, return_inverse=True)
        able = np.array([len(self._parts(pattern, may_go)) > 0 for pattern in patterns])[pattern_of.ravel()]
        shares = {"incomplete": taken[able].any(1).mean() if able.any() else 0.0}
        lost, had = taken.sum(0), there.sum(0)
        shares |= {name: lost[m] / had[m] if had[m] else 0.0 for m, name in enumerate(names)}
        return {name: round(float(share), 6) for name, share in shares.items()}

    def _parts(self, pattern: np.ndarray, may_go: np.ndarray) -> np.ndarray:
        """(k, M) bool: what a sample that has some modalities may lose."""
        places = np.flatnonzero(pattern & may_go)
        if self.mechanism == "exclusive":
            sizes: Sequence[int] = [len(places) - 1] if len(places) > 1 else []
        else:
            sizes = range(1, min(len(places), int(pattern.sum()) - 1) + 1)
        chosen = [part for size in sizes for part in itertools.combinations(places, size)]
        parts = np.zeros((len(chosen), len(pattern)), bool)
        for number, part in enumerate(chosen):
            parts[number, list(part)] = True
        return parts


def theta(scores: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Scores (n, 1) or (n, M) and parts (k, M) -> (n, k): a class's score as it is, cells' summed over a part."""
    if scores.shape[1] == 1:
        return np.repeat(scores, len(parts), 1)
    return scores @ parts.T.astype(float)


def tilted(weights: np.ndarray, rate: float) -> np.ndarray:
    """(n,) log-odds apart from a constant -> (n,) chances whose mean is the rate."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if rate >= 1:
        return np.ones_like(weights)
    reach = 50 + float(np.abs(weights).max())
    constant = brentq(lambda a: float(expit(a + weights).mean()) - rate, -reach, reach, xtol=1e-12)
    return np.asarray(expit(constant + weights))


def rank_scores(sizes: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(n,) sizes -> (n,) between -1 (the smallest) and 1, equal sizes alike; 0 where a cell is empty."""
    from scipy.stats import rankdata

    scores = np.zeros(len(sizes))
    count = int(there.sum())
    if count:
        scores[there] = (2 * rankdata(sizes[there]) - 1) / count - 1
    return scores


def present_cells(table: Table, rows: np.ndarray, columns: Mapping[str, str]) -> np.ndarray:
    """(n, M) bool: which cells are not empty."""
    numbers = np.asarray(rows, np.int64)
    return np.stack([~table.empty(column)[numbers] for column in columns.values()], 1)


def cell_sizes(table: Table, column: str, rows: np.ndarray, modality: Modality) -> np.ndarray:
    """(n,) sizes in the modality's own unit; 0 where a cell is empty, or its file is not there."""
    known = table.sizes(column, rows)
    if known is not None:
        return known
    folder = table.folder
    cells = table.column(column, rows)
    return np.array([0 if cell is None else modality.size(cell, folder) for cell in cells], float)
