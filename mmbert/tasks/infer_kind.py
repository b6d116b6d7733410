"""Infers the kind of task from the cells of a label column that has no task configured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mmbert.tasks.class_options import MANY_CLASSES, finite_number

#: Whole numbers are quantities if there are many and the share of distinct ones is above this.
HARDLY_REPEAT = 0.1


def infer_kind(cells: Iterable[Any]) -> str:
    """``classification``, ``multilabel`` or ``regression``: the name of a YAML in conf/task.

    multilabel: some cell is a list, a JSON list, or text with ``|`` between names.
    regression: all cells are numbers and some have a fraction; or they are whole, with more than 100 different
        values that make up more than a tenth of the labelled samples.
    classification: the rest: words, booleans, whole numbers.

    Args:
        cells: the column's values; None where a label is missing.
    """
    distinct: set[Any] = set()
    labelled = 0
    for cell in cells:
        if cell is None:
            continue
        if is_list_like(cell):
            return "multilabel"
        distinct.add(cell)
        labelled += 1
    numbers = [finite_number(cell) for cell in distinct]
    if not numbers or any(n is None for n in numbers) or all(isinstance(cell, bool) for cell in distinct):
        return "classification"
    values = {n for n in numbers if n is not None}
    if any(not value.is_integer() for value in values):
        return "regression"
    return "regression" if len(values) > max(MANY_CLASSES, HARDLY_REPEAT * labelled) else "classification"


def is_list_like(cell: Any) -> bool:
    """A list, the text of a JSON list, or names joined by ``|``."""
    if isinstance(cell, (list, tuple)):
        return True
    if not isinstance(cell, str):
        return False
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            return isinstance(json.loads(text), list)
        except json.JSONDecodeError:
            return False
    return "|" in text
