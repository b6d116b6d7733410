"""What is judged of all rows: label errors and contradicting modalities, by task, from predictions of unseen rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.analysis.data_quality.contradictions import head_contradictions, vector_contradictions
from mmbert.analysis.data_quality.label_errors import LabelErrors, find_label_errors
from mmbert.analysis.data_quality.out_of_sample import OutOfSample, TaskPredictions
from mmbert.analysis.data_quality.planted import Partners, planted_auroc


@dataclass(frozen=True)
class Contradictions:
    """What one source says of the modalities of every row.

    Attributes:
        source: ``unimodal heads`` or ``retrieval``.
        scores: (N,), NaN where a row has fewer than two modalities.
        odd: (N,) int64, the odd one out; -1 = there is no score.
        planted: what AUROC planted mismatches have in these data.
    """

    source: str
    scores: np.ndarray
    odd: np.ndarray
    planted: list[dict[str, Any]]


def all_label_errors(found: OutOfSample) -> dict[str, LabelErrors]:
    """By task."""
    return {
        name: find_label_errors(task.kind, task.labels, task.predicted, judged_rows(found, task))
        for name, task in found.tasks.items()
    }


def judged_rows(found: OutOfSample, task: TaskPredictions) -> np.ndarray:
    """(N,) bool: rows with a label that a model predicted which had met its class."""
    return task.labelled & task.met & (found.fold >= 0)


def all_contradictions(found: OutOfSample, seed: int) -> dict[str, Contradictions]:
    """By task, where there are two modalities or more."""
    made: dict[str, Contradictions] = {}
    if len(found.modalities) < 2:
        return made
    for name, task in found.tasks.items():
        if task.unimodal is not None:
            made[name] = from_heads(found, task, seed)
    for name, vectors in found.vectors.items():
        made[name] = from_vectors(found, vectors, seed)
    return made


def from_heads(found: OutOfSample, task: TaskPredictions, seed: int) -> Contradictions:
    """Contradictions of unimodal heads."""
    assert task.unimodal is not None
    priors, present = label_shares(task), found.present & (found.fold >= 0)[:, None]
    given = np.where(np.isnan(task.unimodal), 1.0, task.unimodal)
    scores, odd = head_contradictions(given, present, priors)
    classes = task.labels if task.kind == "classification" else None
    ways: Sequence[Partners] = ("other class", "same class") if classes is not None else ("any",)
    planted = [
        planted_entry(found, given, classes, partners, m, lambda p: head_contradictions(p, present, priors)[0], seed)
        for m in range(len(found.modalities))
        for partners in ways
    ]
    return Contradictions("unimodal heads", scores, odd, planted)


def from_vectors(found: OutOfSample, vectors: np.ndarray, seed: int) -> Contradictions:
    """Contradictions of retrieval vectors, fold by fold: each fold's model has a space of its own."""

    def score(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, odd = np.full(len(given), np.nan), np.full(len(given), -1)
        for fold in np.unique(found.fold[found.fold >= 0]):
            at = np.flatnonzero(found.fold == fold)
            scores[at], odd[at] = vector_contradictions(given[at], found.present[at])
        return scores, odd

    scores, odd = score(vectors)
    planted = [
        planted_entry(found, vectors, None, "any", m, lambda given: score(given)[0], seed)
        for m in range(len(found.modalities))
    ]
    return Contradictions("retrieval", scores, odd, planted)


def planted_entry(
    found: OutOfSample,
    given: np.ndarray,
    classes: np.ndarray | None,
    partners: Partners,
    m: int,
    score: Any,
    seed: int,
) -> dict[str, Any]:
    """One line of the planted mismatches."""
    area, count = planted_auroc(given, found.present, found.fold, classes, partners, m, score, seed)
    return {"modality": found.modalities[m], "partners": partners, "planted": count, "auroc": area}


def label_shares(task: TaskPredictions) -> np.ndarray:
    """(K, S) shares of the states among the labelled rows; a class without any has half a row."""
    labels = task.labels[task.labelled]
    if task.kind == "classification":
        counts = np.bincount(labels.astype(np.int64), minlength=len(task.classes))[None] + 0.5
    else:
        ones = labels.sum(0) + 0.5
        counts = np.stack([len(labels) + 1 - ones, ones], 1)
    return np.asarray(counts / counts.sum(1, keepdims=True))
