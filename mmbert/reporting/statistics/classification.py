"""Classes as runs judged them: read from tables of predictions, gathered over the runs of a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.core.calibration import Reliability, judgements, reliability
from mmbert.core.risk_coverage import risk_coverage
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions_file import read_predictions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ClassificationResults:
    """A classification task over the samples of a split, by one run or by several in a row.

    Attributes:
        classes: C names.
        targets: (N,) class indices.
        probabilities: (N, C).
        answers: (N,) class indices of what was answered; None = the most probable classes.
    """

    classes: tuple[str, ...]
    targets: np.ndarray
    probabilities: np.ndarray
    answers: np.ndarray | None = None

    @property
    def predictions(self) -> np.ndarray:
        """(N,) class indices."""
        return self.probabilities.argmax(1) if self.answers is None else self.answers

    def confusion(self) -> np.ndarray:
        """(C, C) counts: rows are the truth, columns the predictions."""
        counts = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(counts, (self.targets, self.predictions), 1)
        return counts

    def by_class(self) -> list[dict[str, Any]]:
        """Precision, recall, F1 and support of each class; what is undefined is None."""
        counts = self.confusion()
        rows = []
        for number, name in enumerate(self.classes):
            right, answered, there = counts[number, number], counts[:, number].sum(), counts[number].sum()
            rows.append(
                {
                    "class": name,
                    "precision": right / answered if answered else None,
                    "recall": right / there if there else None,
                    "f1": 2 * right / (answered + there) if answered + there else None,
                    "support": int(there),
                }
            )
        return rows

    def roc(self) -> tuple[np.ndarray, np.ndarray, float]:
        """False and true positive rates over all (sample, class) pairs, and the area: the micro average."""
        from sklearn.metrics import auc, roc_curve

        hot = np.eye(len(self.classes))[self.targets]
        false, true, _ = roc_curve(hot.ravel(), self.probabilities.ravel())
        return false, true, float(auc(false, true))

    def calibration(self) -> Reliability:
        """Confidences of the predicted class in bins."""
        return reliability(*judgements(self.targets, self.probabilities, self.predictions))

    def risk(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Coverage (N,) and the share of errors (N,) among the answers with most confidence; AURC."""
        confidence, right = judgements(self.targets, self.probabilities, self.predictions)
        coverage, risk, _ = risk_coverage(confidence, right)
        return coverage, risk, float(risk.mean())


def tasks_in(run: Path, split: str) -> list[str]:
    """The classification tasks that a run left probabilities of."""
    import pyarrow.parquet as pq

    path = RunFolder(run).predictions_of(split)
    names = pq.read_schema(path).names if path.is_file() else []
    return [name.removesuffix("/probabilities") for name in names if name.endswith("/probabilities")]


def classification_results(runs: Sequence[Path], split: str, task: str) -> ClassificationResults | None:
    """All runs' results concatenated; None where no run has any, or a sample may have several classes."""
    parts = [part for run in runs if (part := read_results(run, split, task)) is not None]
    if not parts or any(part.classes != parts[0].classes for part in parts):
        return None
    return ClassificationResults(
        parts[0].classes,
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.predictions for part in parts]),
    )


def read_results(run: Path, split: str, task: str) -> ClassificationResults | None:
    """One run's results on the labelled samples; None if it has none."""
    path = RunFolder(run).predictions_of(split)
    if not path.is_file() or task not in tasks_in(run, split):
        return None
    table = read_predictions(path, [f"{task}/target", f"{task}/probabilities", f"{task}/prediction"])
    # nor has a sample without probabilities anything that was judged, such as a picture alone in matching
    table = table[table[f"{task}/target"].notna() & table[f"{task}/probabilities"].notna()]
    if table.empty or not isinstance(table[f"{task}/target"].iloc[0], str):
        return None
    return results_from_table(table[f"{task}/target"], table[f"{task}/probabilities"], table[f"{task}/prediction"])


def results_from_table(targets: pd.Series, probabilities: pd.Series, predictions: pd.Series) -> ClassificationResults:
    """Class names, probability structs and answers -> class indices (N,), probabilities (N, C), class indices (N,).

    Where a task abstains its answer counts as the most probable class.
    """
    classes = tuple(str(name) for name in probabilities.iloc[0])
    places = {name: number for number, name in enumerate(classes)}
    given = np.array([[row[name] for name in classes] for row in probabilities], float)
    known = targets.map(places)  # a class of another split that training never saw has no place
    there = known.notna().to_numpy()
    answers = predictions.map(places).to_numpy(dtype=float)
    answers = np.where(np.isnan(answers), given.argmax(1), answers).astype(int)
    return ClassificationResults(classes, known[there].astype(int).to_numpy(), given[there], answers[there])
