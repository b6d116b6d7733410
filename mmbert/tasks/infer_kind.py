"""Guesses the kind of task from the cells of a label column that has no task configured, and says where it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmbert.data.labels import finite_number, is_decorated_number, is_missing_word
from mmbert.data.tables.written_lists import written_list
from mmbert.tasks.class_options import MANY_CLASSES

#: Whole numbers are quantities if there are many and the share of distinct ones is above this.
HARDLY_REPEAT = 0.1


@dataclass(frozen=True)
class Guess:
    """What a column seems to be labelled with.

    Attributes:
        kind: ``classification``, ``multilabel`` or ``regression``: the name of a YAML in conf/task.
        odd: the different cells that do not fit, in the order of the rows. With any the guess is not safe.
        seen: what the column seems to hold, where cells are odd: "numbers, but not only".
    """

    kind: str
    odd: tuple[Any, ...] = ()
    seen: str = ""


def guess_task(cells: Iterable[Any]) -> Guess:
    """The kind of task that a column's cells suggest.

    multilabel: some cell is a list, the text of a list, or text with ``|`` between names.
    regression: all cells are numbers and some have a fraction; or they are whole, with more than 100 different
        values that make up more than a tenth of the labelled samples.
    classification: the rest: words, booleans, whole numbers.

    Cells are odd if they are no numbers where most are quantities (``NA`` among 1.5 and 2.5), if they are numbers only
    to a person (``0,5``, ``10%``), or if they begin and end like a list and are none.

    Args:
        cells: the column's values; None where a label is missing.
    """
    counts: Counter[Any] = Counter()
    for cell in cells:
        if cell is None:
            continue
        if is_list_like(cell):
            return Guess("multilabel")
        counts[repr(cell) if isinstance(cell, dict) else cell] += 1
    brackets = tuple(cell for cell in counts if is_no_list(cell))
    if brackets:
        return Guess("multilabel", brackets, "what looks like lists and is none")
    if all(isinstance(cell, bool) for cell in counts):
        return Guess("classification")
    return guess_of_numbers(counts)


def guess_of_numbers(counts: Counter[Any]) -> Guess:
    """The guess for a column without lists: how often each different cell occurs, in the order of the rows."""
    numbers: Counter[Any] = Counter()
    words: Counter[Any] = Counter()
    for cell, count in counts.items():
        (words if finite_number(cell) is None else numbers)[cell] = count
    decorated = tuple(word for word in words if is_decorated_number(word))
    missing = sum(count for word, count in words.items() if is_missing_word(word))
    unwritten = sum(words[word] for word in decorated)
    rest = words.total() - missing - unwritten
    kind = kind_of_numbers(numbers)
    if decorated and numbers.total() + unwritten > rest:
        return Guess("regression", decorated, "numbers with a decimal comma, separated thousands or a sign such as %")
    if words and kind == "regression" and numbers.total() > rest:
        return Guess("regression", tuple(words), "numbers, but not only")
    return Guess("classification" if words else kind)


def kind_of_numbers(counts: Counter[Any]) -> str:
    """Quantities or numbered classes."""
    values = {finite_number(cell) for cell in counts}
    if any(value is not None and not value.is_integer() for value in values):
        return "regression"
    return "regression" if len(values) > max(MANY_CLASSES, HARDLY_REPEAT * counts.total()) else "classification"


def is_list_like(cell: Any) -> bool:
    """A list, the text of a list, or names joined by ``|``."""
    if isinstance(cell, (list, tuple)):
        return True
    return isinstance(cell, str) and ("|" in cell or written_list(cell) is not None)


def is_no_list(cell: Any) -> bool:
    """Whether a text begins and ends like a list of several things; it is known to be none."""
    text = cell.strip() if isinstance(cell, str) else ""
    return text.startswith("[") and text.endswith("]") and any(mark in text for mark in ",'\"")
