"""Scores of single samples, read from runs' tables of predictions, for comparisons of two single runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmbert.core.errors import DataError
from mmbert.reporting.statistics.compare import bootstrap_difference, mcnemar
from mmbert.runs.folder import RunFolder
from mmbert.runs.own_privacy import read_privacy
from mmbert.runs.predictions_file import read_predictions

if TYPE_CHECKING:
    import pandas as pd


def per_sample(run: Path, split: str, task: str) -> pd.DataFrame:
    """Of every labelled sample of a split its ``row`` and ``score``.

    The score is 1 where the answer is right (a text: word for word) and 0 where it is wrong; of a quantity, minus the
    absolute error.

    Raises:
        DataError: the run has no such predictions.
    """
    import pandas as pd

    path = RunFolder(run).predictions_of(split)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file, so nothing is known of single samples.")
    table = read_predictions(path)
    names = f"{task}/target", f"{task}/prediction"
    if any(name not in table for name in ("row", *names)):
        raise DataError(f"{path} has no predictions of '{task}'.")
    target, predicted = (table[name] for name in names)
    there = target.notna() & predicted.notna()
    refuse_masked(run, path, task, table)
    if pd.api.types.is_float_dtype(target):
        score = -(target[there] - predicted[there]).abs()
    else:
        pairs = zip(target[there], predicted[there], strict=True)
        score = pd.Series([float(equals_label(one, other)) for one, other in pairs], index=target[there].index)
    return pd.DataFrame({"row": table["row"][there], "score": score.astype(float)})


def refuse_masked(run: Path, path: Path, task: str, table: pd.DataFrame) -> None:
    """Refuses texts of a run that did not write them as they are: two that differ may be masked alike.

    Raises:
        DataError: says which option of the run it was.
    """
    privacy = read_privacy(RunFolder(run))
    if not privacy.hides or f"{task}/probabilities" in table:
        return
    target, predicted = table[f"{task}/target"], table[f"{task}/prediction"]
    if not privacy.samples and len(table) and target.isna().all() and predicted.isna().all():
        raise DataError(f"{path}: the texts of '{task}' were left out of it (privacy.samples=false).")
    marks = tuple(f"[{name}]" for name in privacy.patterns)
    for cell in (*target, *predicted):
        if isinstance(cell, str) and any(mark in cell for mark in marks):
            raise DataError(f"{path}: texts of '{task}' are masked in it (privacy.mask), so equal ones may differ.")


def equals_label(label: object, answer: object) -> bool:
    """Whether an answer is the label, or one of several references that are written as a JSON list."""
    if isinstance(label, str) and isinstance(answer, str) and label.startswith("["):
        try:
            references = json.loads(label)
        except ValueError:
            references = None
        if isinstance(references, list) and answer in references:
            return True
    return as_set(label) == as_set(answer)


def as_set(value: object) -> object:
    """Several labels of a sample in any order."""
    return frozenset(value) if isinstance(value, (list, tuple, np.ndarray)) else value


def compare_samples(first: Path, second: Path, split: str, task: str, names: tuple[str, str]) -> str:
    """A sentence on two single runs, from the samples that both were asked.

    Raises:
        DataError: predictions are missing, or no sample is common to both.
    """
    one, other = (per_sample(run, split, task).set_index("row")["score"] for run in (first, second))
    rows = one.index.intersection(other.index)
    if not len(rows):
        raise DataError(f"{first} and {second} have no sample of {split} in common.")
    a, b = one[rows].to_numpy(), other[rows].to_numpy()
    difference, low, high = bootstrap_difference(a, b)
    size = f"{difference:+.4f} ({low:+.4f} … {high:+.4f}) over {len(rows):,} samples"
    what = "these two trained models; how much another seed would change, one run of each cannot say"
    if set(np.unique(np.concatenate([a, b]))) <= {0.0, 1.0}:
        only_a, only_b, p = mcnemar(a > 0, b > 0)
        counts = f"only {names[0]} is right on {only_a:,}, only {names[1]} on {only_b:,}; McNemar's exact p = {p:.2g}"
        return f"{names[0]} against {names[1]}: {size}; {counts}. This is about {what}."
    return f"{names[0]} against {names[1]}, less absolute error: {size}. This is about {what}."
