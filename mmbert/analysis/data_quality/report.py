"""Everything that cross-validated models say of the data: a summary, as JSON, and a line for each row, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmbert.analysis.data_quality.contradictions import head_contradictions, vector_contradictions
from mmbert.analysis.data_quality.label_errors import LabelErrors, find_label_errors
from mmbert.analysis.data_quality.near_duplicates import DuplicateGroup
from mmbert.analysis.data_quality.out_of_sample import OutOfSample, TaskPredictions
from mmbert.analysis.data_quality.planted import Partners, planted_auroc

#: Rows, and groups of duplicates, that the summary and the page name.
WORST = 20


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


def given_and_suggested(task: TaskPredictions) -> tuple[list[str | None], list[str | None]]:
    """The label of every row and what the model says instead, as texts; None = there is none."""
    given: list[str | None] = []
    suggested: list[str | None] = []
    for label, labelled, answer in zip(task.labels, task.labelled, task.predicted, strict=True):
        known = not np.isnan(answer).any()
        if task.kind == "regression":
            given.append(f"{label:g}" if labelled else None)
            suggested.append(f"{answer:.4g}" if known else None)
        elif task.kind == "multilabel":
            given.append(property_names(task, np.flatnonzero(label == 1)) if labelled else None)
            suggested.append(property_names(task, np.flatnonzero(answer > 0.5)) if known else None)
        else:
            given.append(task.classes[int(label)] if labelled else None)
            suggested.append(task.classes[int(answer.argmax())] if known else None)
    return given, suggested


def property_names(task: TaskPredictions, places: np.ndarray) -> str:
    """``red | round``; ``none`` for no property."""
    return " | ".join(task.classes[place] for place in places) or "none"


def row_table(
    found: OutOfSample,
    splits: Sequence[str],
    errors: Mapping[str, LabelErrors],
    contradictions: Mapping[str, Contradictions],
    duplicates: Sequence[DuplicateGroup],
    samples: bool = True,
) -> pd.DataFrame:
    """A line a row: ``row`` (from 0), ``split``, ``fold``, and of each task its scores.

    ``TASK/given``, ``TASK/suggested``, ``TASK/quality`` (the lower the likelier an error), ``TASK/label_error``,
    ``TASK/contradiction`` (the higher the likelier), ``TASK/odd_one_out``; ``duplicates``: the first row that it is a
    near-duplicate of in all of its modalities.

    Args:
        found: predictions.
        splits: of N rows.
        errors: by task.
        contradictions: by task.
        duplicates: groups.
        samples: without them, labels are left out.
    """
    columns: dict[str, Any] = {"row": found.rows, "split": list(splits), "fold": found.fold}
    for name, of_task in errors.items():
        if samples:
            columns[f"{name}/given"], columns[f"{name}/suggested"] = given_and_suggested(found.tasks[name])
        columns[f"{name}/quality"], columns[f"{name}/label_error"] = of_task.quality, of_task.flagged
    for name, of_source in contradictions.items():
        columns[f"{name}/contradiction"] = of_source.scores
        columns[f"{name}/odd_one_out"] = [found.modalities[m] if m >= 0 else None for m in of_source.odd]
    firsts: list[int | None] = [None] * len(found.rows)
    for group in duplicates:
        if not group.unlike:
            for place in group.rows[1:]:
                firsts[place] = int(found.rows[group.rows[0]])
    columns["duplicates"] = pd.array(firsts, dtype="Int64")
    return pd.DataFrame(columns)


def summary(
    found: OutOfSample,
    splits: Sequence[str],
    errors: Mapping[str, LabelErrors],
    contradictions: Mapping[str, Contradictions],
    duplicates: Sequence[DuplicateGroup],
    samples: bool = True,
) -> dict[str, Any]:
    """What is written as JSON, the worst rows of each kind with it."""
    joint = [group for group in duplicates if not group.unlike]
    return {
        "rows": len(found.rows),
        "modalities": {name: int(found.present[:, m].sum()) for m, name in enumerate(found.modalities)},
        "skipped": len(found.skipped),
        "label_errors": {name: errors_entry(found, splits, name, of, samples) for name, of in errors.items()},
        "contradictions": {
            name: contradictions_entry(found, splits, name, of, samples) for name, of in contradictions.items()
        },
        "near_duplicates": {
            "groups": len(joint),
            "rows": sum(len(group.rows) for group in joint),
            "in_several_splits": sum(len(group.splits) > 1 for group in joint),
            "with_several_labels": sum(bool(group.labels) for group in joint),
            "alike_in_one_modality": len(duplicates) - len(joint),
            "worst": [duplicate_entry(found, group, samples) for group in duplicates[:WORST]],
        },
    }


def errors_entry(
    found: OutOfSample, splits: Sequence[str], name: str, errors: LabelErrors, samples: bool
) -> dict[str, Any]:
    """The label errors of a task."""
    task = found.tasks[name]
    scored = ~np.isnan(errors.quality)
    given, suggested = given_and_suggested(task)
    agrees = [given[place] == suggested[place] for place in np.flatnonzero(scored)]
    worst = []
    # rows that are taken for errors come first; of equal ones the lower row
    order = np.lexsort((found.rows, errors.quality, ~errors.flagged))
    for place in [place for place in order if scored[place]][:WORST]:
        entry: dict[str, Any] = {"row": int(found.rows[place]), "split": splits[place]}
        if samples:
            entry |= {"given": given[place], "suggested": suggested[place]}
        entry |= {"quality": float(errors.quality[place]), "label_error": bool(errors.flagged[place])}
        if task.kind == "classification":
            p = task.predicted[place]
            entry |= {"p_given": float(p[task.labels[place]]), "p_suggested": float(p.max())}
        worst.append(entry)
    return {
        "kind": task.kind,
        "scored": int(scored.sum()),
        "unlabelled": int((~task.labelled).sum()),
        "class_not_met": int((task.labelled & ~task.met).sum()),
        "agreement": float(np.mean(agrees)) if agrees and task.kind != "regression" else None,
        "flagged": int(errors.flagged.sum()) if task.kind != "regression" else None,
        "estimate": errors.estimate,
        "worst": worst,
    }


def contradictions_entry(
    found: OutOfSample, splits: Sequence[str], name: str, of: Contradictions, samples: bool
) -> dict[str, Any]:
    """The contradictions of a task."""
    known = np.flatnonzero(~np.isnan(of.scores))
    worst = []
    for place in known[np.lexsort((found.rows[known], -of.scores[known]))][:WORST]:
        entry: dict[str, Any] = {
            "row": int(found.rows[place]),
            "split": splits[place],
            "contradiction": float(of.scores[place]),
            "odd_one_out": found.modalities[of.odd[place]],
        }
        if samples and name in found.tasks:
            entry["says"] = what_each_says(found, found.tasks[name], int(place))
            entry["given"] = given_and_suggested_of(found.tasks[name], int(place))
        worst.append(entry)
    return {"source": of.source, "scored": len(known), "planted": of.planted, "worst": worst}


def given_and_suggested_of(task: TaskPredictions, place: int) -> str | None:
    """The label of one row."""
    at = slice(place, place + 1)
    one = TaskPredictions(
        task.kind, task.classes, task.labels[at], task.labelled[at], task.predicted[at], None, task.met[at]
    )
    return given_and_suggested(one)[0][0]


def what_each_says(found: OutOfSample, task: TaskPredictions, place: int) -> dict[str, dict[str, Any]]:
    """By modality that a row has, the answer of its head and how probable it is."""
    answered = {}
    for m, modality in enumerate(found.modalities):
        if task.unimodal is None or not found.present[place, m]:
            continue
        p = task.unimodal[place, m]
        if task.kind == "classification":
            answered[modality] = {"answer": task.classes[int(p[0].argmax())], "probability": float(p[0].max())}
        else:
            holds = np.flatnonzero(p[:, 1] > 0.5)
            answered[modality] = {"answer": property_names(task, holds), "probability": float(p.max(1).prod())}
    return answered


def duplicate_entry(found: OutOfSample, group: DuplicateGroup, samples: bool) -> dict[str, Any]:
    """A group of near-duplicates."""
    entry: dict[str, Any] = {
        "rows": [int(found.rows[place]) for place in group.rows[:WORST]],
        "count": len(group.rows),
        "alike": group.alike,
        "unlike": group.unlike,
        "splits": group.splits,
    }
    return entry | {"labels": group.labels if samples else {task: len(of) for task, of in group.labels.items()}}
