"""Everything that cross-validated models say of the data: a summary, as JSON, and a line for each row, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmbert.analysis.data_quality.label_errors import LabelErrors
from mmbert.analysis.data_quality.near_duplicates import DuplicateGroup
from mmbert.analysis.data_quality.out_of_sample import OutOfSample, TaskPredictions
from mmbert.analysis.data_quality.scored import Contradictions

#: Rows, and groups of duplicates, that the summary and the page name.
WORST = 20


def given_and_suggested(task: TaskPredictions) -> tuple[list[str | None], list[str | None]]:
    """The label of every row and what the model says instead, as texts; None = there is none."""
    given: list[str | None] = []
    suggested: list[str | None] = []
    for label, labelled, answer in zip(task.labels, task.labelled, task.predicted, strict=True):
        known = task.kind == "tagging" or not np.isnan(answer).any()
        if task.kind == "tagging":
            given.append(tag_names(task, label) if labelled else None)
            suggested.append(tag_names(task, answer.probabilities.argmax(1)) if labelled else None)
        elif task.kind == "regression":
            given.append(f"{label:g}" if labelled else None)
            suggested.append(f"{answer:.4g}" if known else None)
        elif task.kind == "multilabel":
            given.append(property_names(task, np.flatnonzero(label == 1)) if labelled else None)
            suggested.append(property_names(task, np.flatnonzero(answer > 0.5)) if known else None)
        else:
            given.append(task.classes[int(label)] if labelled else None)
            suggested.append(task.classes[int(answer.argmax())] if known else None)
    return given, suggested


def tag_names(task: TaskPredictions, tags: np.ndarray) -> str:
    """``B-LOC O O``, of the words that are judged."""
    return " ".join(task.classes[tag] for tag in tags)


def word_entry(task: TaskPredictions, place: int, word: int) -> dict[str, str]:
    """The word of a row that is judged the worst, its tag, and what the model says instead."""
    words = task.predicted[place]
    best = int(words.probabilities[word].argmax())
    return {
        "word": words.words[word],
        "given": task.classes[task.labels[place][word]],
        "suggested": task.classes[best],
    }


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

    ``TASK/given``, ``TASK/suggested``, ``TASK/word`` (of tagging, the worst), ``TASK/quality`` (the lower the likelier
    an error), ``TASK/label_error``, ``TASK/contradiction`` (the higher the likelier), ``TASK/odd_one_out``;
    ``duplicates``: the first row that it is a near-duplicate of in all of its modalities.

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
            if of_task.word is not None:
                answered = zip(found.tasks[name].predicted, of_task.word, strict=True)
                columns[f"{name}/word"] = [words.words[at] if at >= 0 else None for words, at in answered]
        columns[f"{name}/quality"], columns[f"{name}/label_error"] = of_task.quality, of_task.flagged
    for name, of_source in contradictions.items():
        columns[f"{name}/contradiction"] = of_source.scores
        columns[f"{name}/odd_one_out"] = [odd_modality(found, of_source, place) for place in range(len(found.rows))]
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
            "worst": [duplicate_entry(found, splits, group, samples) for group in duplicates[:WORST]],
        },
    }


def errors_entry(
    found: OutOfSample, splits: Sequence[str], name: str, errors: LabelErrors, samples: bool
) -> dict[str, Any]:
    """The label errors of a task."""
    task = found.tasks[name]
    scored = ~np.isnan(errors.quality)
    given, suggested = given_and_suggested(task)
    agrees = [
        same for place in np.flatnonzero(scored) for same in agreements(given[place], suggested[place], task.kind)
    ]
    worst = []
    # rows that are taken for errors come first; of equal ones the lower row
    order = np.lexsort((found.rows, errors.quality, ~errors.flagged))
    for place in [place for place in order if scored[place]][:WORST]:
        entry: dict[str, Any] = {"row": int(found.rows[place]), "split": splits[place]}
        if samples and errors.word is not None:
            entry |= word_entry(task, place, errors.word[place])
        elif samples:
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


def agreements(given: str | None, suggested: str | None, kind: str) -> list[bool]:
    """Whether label and answer are the same, of tagging for every word."""
    if kind == "tagging":
        return [one == other for one, other in zip(str(given).split(" "), str(suggested).split(" "), strict=True)]
    return [given == suggested]


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
            "odd_one_out": odd_modality(found, of, int(place)),
        }
        if samples and name in found.tasks:
            entry["says"] = what_each_says(found, found.tasks[name], int(place))
            entry["given"] = given_and_suggested_of(found.tasks[name], int(place))
        worst.append(entry)
    return {"source": of.source, "scored": len(known), "planted": of.planted, "worst": worst}


def odd_modality(found: OutOfSample, of: Contradictions, place: int) -> str | None:
    """The modality of a row that contradicts the others; None where it has two, of which either may be the odd one."""
    m = int(of.odd[place])
    return found.modalities[m] if m >= 0 and found.present[place].sum() > 2 else None


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


def duplicate_entry(found: OutOfSample, splits: Sequence[str], group: DuplicateGroup, samples: bool) -> dict[str, Any]:
    """A group of near-duplicates."""
    entry: dict[str, Any] = {
        "rows": [int(found.rows[place]) for place in group.rows[:WORST]],
        "row_splits": [splits[place] for place in group.rows[:WORST]],
        "count": len(group.rows),
        "alike": group.alike,
        "unlike": group.unlike,
        "splits": group.splits,
    }
    return entry | {"labels": group.labels if samples else {task: len(of) for task, of in group.labels.items()}}
