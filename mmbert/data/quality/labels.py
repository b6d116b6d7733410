"""Labels that may be none: words such as ``NA`` that elsewhere say that a value is missing; splits without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mmbert.data.datamodule import MultimodalData
from mmbert.data.labels import TargetEncoder, finite_number, is_missing_word, na_option
from mmbert.data.quality.remark import Remark


def unlabelled_splits(data: MultimodalData, tasks: Mapping[str, TargetEncoder]) -> Iterator[str]:
    """A sentence on each task and split, other than train, in which no row has a label."""
    for name, task in tasks.items():
        for split, rows in data.rows.items():
            if split != "train" and len(rows) and not data.has_labels(split, task):
                columns = ", ".join(f"'{column}'" for column in task.columns)
                plural = "s" * (len(task.columns) > 1)
                yield f"{name}, column{plural} {columns}: no row of '{split}' has a label, so nothing is measured on it"


def label_remarks(data: MultimodalData, tasks: Mapping[str, TargetEncoder]) -> Iterator[Remark]:
    """The rows whose label is a word for a missing value, and counts as a class."""
    used = np.concatenate(list(data.rows.values()))
    for name, task in tasks.items():
        classes: list[str] = getattr(task, "classes", [])
        if len(task.columns) != 1 or not data.has_column(task.columns[0]) or not data.table.is_text(task.columns[0]):
            continue
        (column,) = task.columns
        words = [word for word in classes if finite_number(word) is None]
        few = 2 * len(words) <= len(classes)  # the others are numbers
        missing = [word for word in words if is_missing_word(word, beside_numbers=few)]
        for word in missing:
            rows = np.intersect1d(data.table.rows_where(column, word), used)
            if len(rows):
                what = f"{name}: rows whose '{column}' is '{word}' are a class of their own; if the word means that "
                yield Remark(f"{what}there is no label, type {na_option(missing)}", rows)
