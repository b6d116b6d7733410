"""What models that never saw a row, nor its group, say of it: a run's config is trained anew for each fold.

Encoders that the run trains are trained anew too: vectors of encoders that were fitted to the labels of all rows would
carry those labels into any head on top of them. Frozen ones give what they always give, from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from mmbert.analysis.data_quality.folds import Fold
from mmbert.analysis.data_quality.read_split import Read, read_split
from mmbert.analysis.data_quality.tag_words import TaggedWords, objects
from mmbert.analysis.data_quality.unimodal import fit_head
from mmbert.tasks.base import Task
from mmbert.tasks.tagging import Tagging
from mmbert.training.build import Parts

#: Trains the model of a fold: what ``fit_on_rows`` does.
FitFold = Callable[[Mapping[str, np.ndarray], Path], Parts]
#: Is told how many of the folds are done before the next is trained.
OnFold = Callable[[int, list[Fold]], None]
#: Kinds of tasks with unimodal heads.
HEADED_KINDS = ("classification", "multilabel")


@dataclass
class TaskPredictions:
    """What is known of one task, by place in ``OutOfSample.rows``.

    Attributes:
        kind: of the task.
        classes: C names, of classes, properties or tags; of numbers none.
        labels: (N,) int64 (-1 = unlabelled), (N, C) of 0 and 1, or (N,) numbers; NaN = unlabelled. Of tagging (N,) of
            (W,) int64, the tags of the words that are judged.
        labelled: (N,) bool.
        predicted: (N, C) probabilities, or (N,) numbers; NaN where nothing was predicted. Of tagging (N,) of
            ``TaggedWords``.
        unimodal: (N, M, K, S) probabilities of unimodal heads (``contradictions``); None = the kind has none.
        met: (N,) bool, whether the fold's train rows have the row's class; a model cannot answer one that it never met.
    """

    kind: str
    classes: list[str]
    labels: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray
    unimodal: np.ndarray | None
    met: np.ndarray


@dataclass
class OutOfSample:
    """What was predicted of all rows.

    Attributes:
        rows: (N,) int64 of the table, in order.
        modalities: M names.
        present: (N, M) bool.
        fold: (N,) int64, which fold a row was held out in; -1 = it could not be read.
        tasks: by name.
        vectors: by name of a retrieval task, (N, M, E) of length 1.
        skipped: rows that could not be used, and why.
    """

    rows: np.ndarray
    modalities: list[str]
    present: np.ndarray
    fold: np.ndarray
    tasks: dict[str, TaskPredictions] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)


def predict_out_of_sample(
    folds: Iterable[Fold],
    fit_fold: FitFold,
    tasks: Mapping[str, Task],
    modalities: list[str],
    device: torch.device,
    on_fold: OnFold = lambda done, folds: None,
) -> OutOfSample:
    """Trains a model for each fold and keeps what it says of the rows that were held out.

    Args:
        folds: that deal out all rows.
        fit_fold: rows by split and a folder for checkpoints -> a trained model and its data.
        tasks: of the run's own model, those that are of interest: classification, multilabel, regression, tagging,
            retrieval.
        modalities: of the model.
        device: to predict on.
        on_fold: is told how far it is.
    """
    folds = list(folds)
    rows = np.sort(np.concatenate([fold.held_out for fold in folds]))
    found = OutOfSample(rows, modalities, np.zeros((len(rows), len(modalities)), bool), np.full(len(rows), -1))
    for number, fold in enumerate(folds):
        on_fold(number, folds)
        with TemporaryDirectory() as scratch:
            parts = fit_fold(fold.by_split(), Path(scratch))
        model = parts.model.to(device).eval()
        seen = {
            split: read_split(
                model, parts.data.plain_loader(split), tasks, modalities, device, answers_too=split == "held_out"
            )
            for split in ("train", "val", "held_out")
        }
        found.skipped |= parts.data.skipped
        for read in seen.values():
            found.skipped |= read.skipped
        add_fold(found, number, seen, tasks)
    return found


def add_fold(found: OutOfSample, number: int, seen: Mapping[str, Read], tasks: Mapping[str, Task]) -> None:
    """Keeps what a fold's model answered of its held-out rows, and what unimodal heads of its vectors say."""
    held, train = seen["held_out"], seen["train"]
    places = np.searchsorted(found.rows, held.rows)
    found.present[places], found.fold[places] = held.present, number
    for name, vectors in held.vectors.items():
        whole = found.vectors.setdefault(name, np.zeros((len(found.rows), *vectors.shape[1:]), np.float32))
        whole[places] = vectors
    for name, answers in held.answers.items():
        kept = found.tasks.get(name)
        if kept is None:
            kept = found.tasks[name] = empty_predictions(tasks[name], answers, held.labels[name], found)
        kept.labels[places], kept.predicted[places] = held.labels[name], answers
        kept.labelled[places] = are_labelled(kept.kind, held.labels[name])
        kept.met[places] = are_met(kept.kind, held.labels[name], train.labels[name])
        if kept.unimodal is not None:
            for m, modality in enumerate(found.modalities):
                kept.unimodal[places, m] = unimodal_answers(kept, name, m, modality, seen)


def empty_predictions(task: Task, answers: np.ndarray, labels: np.ndarray, found: OutOfSample) -> TaskPredictions:
    """A task of which nothing is known yet."""
    count, kind, none = len(found.rows), task.kind, np.zeros(len(found.rows), bool)
    if isinstance(task, Tagging):
        nothing = TaggedWords([], np.zeros((0, len(task.tags))))
        unlabelled, predicted = objects([np.zeros(0, np.int64)] * count), objects([nothing] * count)
        return TaskPredictions(kind, list(task.tags), unlabelled, none, predicted, None, none.copy())
    classes = list(map(str, getattr(task, "classes", ())))
    shape = (1, len(classes)) if kind == "classification" else (len(classes), 2)
    unimodal = np.full((count, len(found.modalities), *shape), np.nan) if kind in HEADED_KINDS else None
    unlabelled = np.full((count, *labels.shape[1:]), -1 if kind == "classification" else np.nan, labels.dtype)
    predicted = np.full((count, *answers.shape[1:]), np.nan)
    return TaskPredictions(kind, classes, unlabelled, none, predicted, unimodal, none.copy())


def are_labelled(kind: str, labels: np.ndarray) -> np.ndarray:
    """(n,) bool."""
    if kind == "classification":
        return np.asarray(labels >= 0)
    if kind == "tagging":
        return np.array([len(tags) > 0 for tags in labels], bool)
    known = ~np.isnan(labels)
    return np.asarray(known.all(1) if labels.ndim == 2 else known)


def are_met(kind: str, labels: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the label's class, or the tag of every word, is among those of the train rows."""
    if kind == "tagging":
        taught = np.concatenate([np.zeros(0, np.int64), *trained_on])
        return np.array([np.isin(tags, taught).all() for tags in labels], bool)
    return np.isin(labels, trained_on) if kind == "classification" else np.ones(len(labels), bool)


def unimodal_answers(kept: TaskPredictions, name: str, m: int, modality: str, seen: Mapping[str, Read]) -> np.ndarray:
    """(n, K, S): what one modality says of the held-out rows; of rows that lack it, nothing that is read."""
    train, val, held = seen["train"], seen["val"], seen["held_out"]
    use = {key: read.present[:, m] & are_labelled(kept.kind, read.labels[name]) for key, read in seen.items()}
    states = kept.unimodal.shape[-1] if kept.unimodal is not None else 0
    made = []
    for k in range(1 if kept.kind == "classification" else len(kept.classes)):
        picked = {key: seen[key].labels[name][use[key]] for key in ("train", "val")}
        labels = {key: (of if of.ndim == 1 else of[:, k]).astype(np.int64) for key, of in picked.items()}
        if not len(labels["train"]):
            made.append(np.full((len(held.rows), states), 1 / states))
            continue
        head = fit_head(
            train.pooled[modality][use["train"]],
            labels["train"],
            val.pooled[modality][use["val"]],
            labels["val"],
            states,
        )
        made.append(head.probabilities(held.pooled[modality]))
    return np.stack(made, 1)
