"""Cells of facts: which are numbers, and what words are compared by."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.tables.cells import cell_excerpt, cell_key

#: How a number is written: with a point, without signs between thousands.
WRITTEN_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")


def number_of_cell(cell: Any) -> float | None:
    """The number that a cell is, or is written as; None = it is none. Truth values are words.

    Raises:
        DataError: it is an infinite number, or too large for a float.
    """
    if isinstance(cell, bool) or not isinstance(cell, (int, float, Decimal, str)):
        return None
    if isinstance(cell, str) and not WRITTEN_NUMBER.fullmatch(cell):
        return None
    try:
        number = float(cell)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DataError(f"{cell_excerpt(cell)} is no finite number")
    return number


def word_in(cell: Any) -> str:
    """What a cell is compared by as a category, see ``mmbert.data.tables.cells``.

    Raises:
        DataError: it is a list, a structure, bytes or a date.
    """
    if not isinstance(cell, (str, bool, int, float, Decimal)):
        raise DataError(f"{cell_excerpt(cell)} is neither a number nor a word ({type(cell).__name__})")
    return str(cell_key(cell))
