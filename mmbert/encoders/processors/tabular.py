"""``TabularProcessor``: cells of records become standard scores and places among train's words."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.types import Inputs
from mmbert.data.modalities.record_cells import number_of_cell, word_in
from mmbert.data.tables.cells import cell_excerpt
from mmbert.data.tables.train_cells import TrainCells

#: The code of a word that train has not.
UNKNOWN = 0
#: What is learnt of a column: ``{"mean": 3.5, "std": 1.0}`` of numbers, ``{"categories": ["f", "m"]}`` of words.
Learnt = Mapping[str, Any]


class PreparedRecord(NamedTuple):
    """K columns of one sample.

    Attributes:
        numbers: (K,) float32, standard scores; 0 in columns of words.
        codes: (K,) int64, from 1 in the order of the column's categories, 0 = unknown; 0 in columns of numbers.
        missing: (K,) bool, empty cells.
    """

    numbers: torch.Tensor
    codes: torch.Tensor
    missing: torch.Tensor


class TabularProcessor:
    """Numbers minus the mean of train, over its standard deviation; words as their places among those of train.

    Args:
        columns: what was learnt, by column, in the order of the tokens.
    """

    kind: str = "tabular"

    def __init__(self, columns: Mapping[str, Learnt]) -> None:
        self.columns = {name: dict(learnt) for name, learnt in columns.items()}
        self._codes = {
            name: {word: code for code, word in enumerate(learnt["categories"], UNKNOWN + 1)}
            for name, learnt in self.columns.items()
            if "categories" in learnt
        }

    def prepare(self, raw: Mapping[str, Any]) -> PreparedRecord:
        """Cells by column -> their numbers; columns that are not there count as empty.

        Raises:
            DataError: a column is not the model's, a word stands where train has numbers, or all cells are empty.
        """
        strange = next((name for name in raw if name not in self.columns), None)
        if strange is not None:
            raise DataError(f"the model reads no column '{strange}'. {nearest(strange, self.columns)}")
        numbers, codes = np.zeros(len(self.columns)), np.zeros(len(self.columns), np.int64)
        missing = np.zeros(len(self.columns), bool)
        for place, (name, learnt) in enumerate(self.columns.items()):
            cell = raw.get(name)
            if cell is None:
                missing[place] = True
            elif name in self._codes:
                codes[place] = self._codes[name].get(naming_column(name, word_in, cell), UNKNOWN)
            else:
                numbers[place] = standard_score(name, cell, learnt)
        if missing.all():
            raise DataError(f"all of its cells are empty ({', '.join(self.columns)})")
        scores = torch.from_numpy(numbers).to(torch.float32)
        return PreparedRecord(scores, torch.from_numpy(codes), torch.from_numpy(missing))

    def collate(self, prepared: list[PreparedRecord | None]) -> Inputs:
        """Records (None = missing) -> numbers, codes, missing and mask, each (B, K); a record's mask is all True."""
        width = len(self.columns)
        nothing = PreparedRecord(
            torch.zeros(width), torch.zeros(width, dtype=torch.int64), torch.zeros(width, dtype=torch.bool)
        )
        rows = [nothing if record is None else record for record in prepared]
        there = torch.tensor([record is not None for record in prepared]).unsqueeze(1)
        return {
            "numbers": torch.stack([row.numbers for row in rows]),
            "codes": torch.stack([row.codes for row in rows]),
            "missing": torch.stack([row.missing for row in rows]),
            "mask": there.expand(-1, width).clone(),
        }


def naming_column(column: str, read: Any, cell: Any) -> Any:
    """``read(cell)``, whose error names the column."""
    try:
        return read(cell)
    except DataError as error:
        raise DataError(f"column '{column}': {error}") from error


def standard_score(column: str, cell: Any, learnt: Learnt) -> float:
    """(x - mean) / std.

    Raises:
        DataError: the cell is no number, or its score is beyond float32.
    """
    number = naming_column(column, number_of_cell, cell)
    if number is None:
        raise DataError(
            f"column '{column}': {cell_excerpt(cell)} is no number, as all cells of train are; an empty cell is "
            f"ordinary, and a column of words is read as categories if its encoder says categorical=[{column}]"
        )
    score = (number - learnt["mean"]) / learnt["std"]
    if not abs(score) < float(np.finfo(np.float32).max):
        raise DataError(f"column '{column}': {cell_excerpt(cell)} is too far from the mean of train for float32")
    return float(score)


def learnt_columns(
    cells: TrainCells, categorical: Collection[str], max_categories: int, min_count: int
) -> dict[str, dict[str, Any]]:
    """What the rows of train say of each column of records.

    A column whose filled cells are all numbers has mean and standard deviation (of the population, as scikit-learn's
    StandardScaler), 1 where all are equal; any other has its words, sorted.

    Args:
        cells: records, of train alone.
        categorical: columns whose numbers are categories, such as postal codes.
        max_categories: more words are no categories.
        min_count: words that fewer rows have count as unknown.

    Raises:
        ConfigError: ``categorical`` names no column.
        DataError: a column has nothing in train, too many words, or numbers and words; a cell is neither.
    """
    kinds = column_kinds(cells, categorical)
    strange = next((name for name in categorical if kinds and name not in kinds), None)
    if strange is not None:
        raise ConfigError(f"categorical names the column '{strange}', which is not read. {nearest(strange, kinds)}")
    empty = next((name for name, kind in kinds.items() if kind == "empty"), None)
    if empty is not None or not kinds:
        which = f"columns {cells.column} are" if empty is None else f"column '{empty}' is"
        raise DataError(f"{cells.table.path}: the {which} empty in all rows of train, so nothing can be learnt of it.")
    numbers = {name: array("d") for name, kind in kinds.items() if kind == "numbers"}
    counts: dict[str, Counter[str]] = {name: Counter() for name in kinds if name not in numbers}
    for where, record in cells.raws():
        for name, cell in record.items():
            try:
                value = (
                    None if cell is None else naming_column(name, number_of_cell if name in numbers else word_in, cell)
                )
            except DataError as error:
                if not cells.skip:
                    raise DataError(f"{where}: {error}") from error
                continue
            if value is not None:
                numbers[name].append(value) if name in numbers else counts[name].update([value])
    return {
        name: moments(name, np.asarray(numbers[name]))
        if name in numbers
        else {"categories": sorted(kept_words(name, counts[name], max_categories, min_count))}
        for name in kinds
    }


def column_kinds(cells: TrainCells, categorical: Collection[str]) -> dict[str, str]:
    """``numbers``, ``words`` or ``empty`` by column; with ``skip`` the majority of a mixed column's cells decides.

    Raises:
        DataError: a column that is not ``categorical`` has numbers and words.
    """
    found: dict[str, dict[bool, int]] = {}
    first: dict[str, dict[bool, str]] = {}
    for where, record in cells.raws():
        for name, cell in record.items():
            counts = found.setdefault(name, {True: 0, False: 0})
            if cell is not None:
                number = is_number(cell)
                counts[number] += 1
                first.setdefault(name, {}).setdefault(
                    number, f"{cell_excerpt(cell)} in {where.partition(', column')[0]}"
                )
    mixed = next((name for name, seen in first.items() if len(seen) > 1 and name not in categorical), None)
    if mixed is not None and not cells.skip:
        raise DataError(
            f"column '{mixed}' has numbers ({first[mixed][True]}) and words ({first[mixed][False]}). If the words mean "
            f"that nothing is known, name them in data.na_values; if the numbers are names, give the encoder "
            f"categorical=[{mixed}]."
        )
    return {
        name: "empty"
        if not any(counts.values())
        else "words"
        if name in categorical or counts[False] > counts[True]
        else "numbers"
        for name, counts in found.items()
    }


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, be it one that cannot be used."""
    try:
        return number_of_cell(cell) is not None
    except DataError:
        return True


def moments(column: str, values: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of (n,) float64; 1 where all are equal but for rounding.

    Raises:
        DataError: they are too large.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(values.mean()), float(values.std())
    largest = float(np.abs(values).max())
    if not np.isfinite(std):
        raise DataError(f"column '{column}': numbers up to {largest:g} have no deviation in float64: scale them down")
    return {"mean": mean, "std": std if std > 10 * np.finfo(np.float64).eps * largest else 1.0}


def kept_words(column: str, counts: Counter[str], max_categories: int, min_count: int) -> Iterable[str]:
    """The words that enough rows have.

    Raises:
        DataError: they are too many.
    """
    kept = [word for word, count in counts.items() if count >= min_count]
    if len(kept) > max_categories:
        raise DataError(
            f"column '{column}' has {len(kept):,} different words in train, more than max_categories={max_categories}: "
            "it names rows rather than kinds of rows. Leave it out of the columns, read it as a text, or raise "
            "max_categories or min_count of its encoder."
        )
    return kept
