"""What models that never saw a row, nor its group, say of it: a run's config is trained anew for each fold.

Encoders that the run trains are trained anew too: vectors of encoders that were fitted to the labels of all rows would
carry those labels into any head on top of them. Frozen ones give what they always give, from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from mmbert.analysis.data_quality.folds import Fold
from mmbert.analysis.data_quality.unimodal import fit_head
from mmbert.core.types import Batch
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.training.build import Parts

#: Trains the model of a fold: what ``fit_on_rows`` does.
FitFold = Callable[[Mapping[str, np.ndarray], Path], Parts]
#: Kinds of tasks with unimodal heads.
HEADED_KINDS = ("classification", "multilabel")


@dataclass
class TaskPredictions:
    """What is known of one task, by place in ``OutOfSample.rows``.

    Attributes:
        kind: of the task.
        classes: C names; of numbers none.
        labels: (N,) int64 (-1 = unlabelled), (N, C) of 0 and 1, or (N,) numbers; NaN = unlabelled.
        labelled: (N,) bool.
        predicted: (N, C) probabilities, or (N,) numbers; NaN where nothing was predicted.
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


@dataclass
class Read:
    """What a model gave of some rows, in their order.

    Attributes:
        rows: (n,) int64.
        present: (n, M) bool.
        pooled: by modality, (n, D).
        labels: by task.
        answers: by task, (n, C) or (n,).
        vectors: by retrieval task, (n, M, E).
        skipped: rows that could not be read.
    """

    rows: np.ndarray
    present: np.ndarray
    pooled: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    answers: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    skipped: dict[int, str]


def predict_out_of_sample(
    folds: Iterable[Fold], fit_fold: FitFold, tasks: Mapping[str, Task], modalities: list[str], device: torch.device
) -> OutOfSample:
    """Trains a model for each fold and keeps what it says of the rows that were held out.

    Args:
        folds: that deal out all rows.
        fit_fold: rows by split and a folder for checkpoints -> a trained model and its data.
        tasks: of the run's own model, those that are of interest: classification, multilabel, regression, retrieval.
        modalities: of the model.
        device: to predict on.
    """
    folds = list(folds)
    rows = np.sort(np.concatenate([fold.held_out for fold in folds]))
    found = OutOfSample(rows, modalities, np.zeros((len(rows), len(modalities)), bool), np.full(len(rows), -1))
    for number, fold in enumerate(folds):
        with TemporaryDirectory() as scratch:
            parts = fit_fold(fold.by_split(), Path(scratch))
            model = parts.model.to(device).eval()
            seen = {
                split: read_split(model, parts.data.plain_loader(split), tasks, modalities, device)
                for split in ("train", "val", "held_out")
            }
        found.skipped |= parts.data.skipped
        for read in seen.values():
            found.skipped |= read.skipped
        add_fold(found, number, seen, tasks)
    return found


def read_split(
    model: MultimodalModel,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    modalities: list[str],
    device: torch.device,
) -> Read:
    """Runs a model over a split."""
    rows: list[np.ndarray] = []
    present: list[np.ndarray] = []
    pooled: dict[str, list[np.ndarray]] = {name: [] for name in modalities}
    labels: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    answers: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    skipped: dict[int, str] = {}
    with torch.inference_mode():
        for given in batches:
            skipped |= dict(given.skipped)
            batch = given.to(device)
            real = batch.rows >= 0
            rows.append(batch.rows[real].cpu().numpy())
            there = torch.stack([batch.inputs[name]["mask"].any(1) for name in modalities], 1)
            present.append(there[real].cpu().numpy())
            for name in modalities:  # each encoder by itself, without what a fusion would inject from the others
                vectors = model.named_encoders()[name](batch.inputs[name]).pooled[real]
                pooled[name].append(vectors.float().cpu().numpy())
            output = model(batch.inputs)
            for name in tasks:
                task = model.named_tasks()[name]
                answers[name].append(held_answers(task, output, name)[real.cpu().numpy()])
                labels[name].append(held_labels(task, batch.targets[name])[real.cpu().numpy()])
    joined = {name: np.concatenate(parts) for name, parts in answers.items()}
    return Read(
        np.concatenate(rows),
        np.concatenate(present),
        {name: np.concatenate(parts) for name, parts in pooled.items()},
        {name: np.concatenate(parts) for name, parts in labels.items()},
        {name: made for name, made in joined.items() if tasks[name].kind != "retrieval"},
        {name: made for name, made in joined.items() if tasks[name].kind == "retrieval"},
        skipped,
    )


def held_answers(task: Task, output: Any, name: str) -> np.ndarray:
    """(B, C) probabilities, (B,) numbers, or (B, M, E) vectors of retrieval."""
    outputs = output.outputs[name]
    if task.kind == "retrieval":
        return np.asarray(outputs["vectors"].float().cpu().numpy())
    answers = task.predict(output.state, outputs)
    if task.kind == "regression":
        return np.array([answer["prediction"] for answer in answers], np.float64)
    return np.array([list(answer["probabilities"].values()) for answer in answers], np.float64)


def held_labels(task: Task, targets: Mapping[str, torch.Tensor]) -> np.ndarray:
    """(B,) classes, -1 = none; (B, C) of 0 and 1, or (B,) numbers in the table's unit, NaN = none."""
    if task.kind == "retrieval":
        return np.zeros(len(targets["counted"]))
    if task.kind == "regression":
        decoded = task.decode(dict(targets))
        return np.array([np.nan if label is None else label for label in decoded], np.float64)
    given = targets["label"].cpu().numpy()
    return np.where(given < 0, -1, given) if task.kind == "classification" else given.astype(np.float64)


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
    count = len(found.rows)
    classes = list(map(str, getattr(task, "classes", ())))
    kind = task.kind
    shape = (1, len(classes)) if kind == "classification" else (len(classes), 2)
    unimodal = np.full((count, len(found.modalities), *shape), np.nan) if kind in HEADED_KINDS else None
    unlabelled = np.full((count, *labels.shape[1:]), -1 if kind == "classification" else np.nan, labels.dtype)
    predicted = np.full((count, *answers.shape[1:]), np.nan)
    none = np.zeros(count, bool)
    return TaskPredictions(kind, classes, unlabelled, none, predicted, unimodal, none.copy())


def are_labelled(kind: str, labels: np.ndarray) -> np.ndarray:
    """(n,) bool."""
    if kind == "classification":
        return np.asarray(labels >= 0)
    known = ~np.isnan(labels)
    return np.asarray(known.all(1) if labels.ndim == 2 else known)


def are_met(kind: str, labels: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the label's class is among those of the train rows."""
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
