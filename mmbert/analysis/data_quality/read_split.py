"""What a model gives of the rows of a split: vectors of each encoder, labels, and answers where they are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmbert.analysis.data_quality.tag_words import word_answers, word_labels
from mmbert.core.types import Batch, Encoded
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task
from mmbert.tasks.tagging import Tagging


@dataclass
class Read:
    """What a model gave of some rows, in their order.

    Attributes:
        rows: (n,) int64.
        present: (n, M) bool.
        pooled: by modality, (n, D).
        labels: by task.
        answers: by task, (n, C) or (n,); none where they were not wanted.
        vectors: by retrieval task, (n, M, E); the same.
        skipped: rows that could not be read.
    """

    rows: np.ndarray
    present: np.ndarray
    pooled: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    answers: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    skipped: dict[int, str]


def read_split(
    model: MultimodalModel,
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    modalities: list[str],
    device: torch.device,
    answers_too: bool = True,
) -> Read:
    """Runs a model over a split.

    Args:
        model: on the device, in evaluation mode.
        batches: of the split.
        tasks: that are of interest.
        modalities: of the model.
        device: of the model.
        answers_too: not the encoders alone but fusion and heads as well.
    """
    rows: list[np.ndarray] = []
    present: list[np.ndarray] = []
    pooled: dict[str, list[np.ndarray]] = {name: [] for name in modalities}
    labels: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    answers: dict[str, list[np.ndarray]] = {name: [] for name in tasks if answers_too}
    skipped: dict[int, str] = {}
    own = model.named_tasks()
    with torch.inference_mode():
        for given in batches:
            skipped |= dict(given.skipped)
            batch = given.to(device)
            real = batch.rows >= 0
            kept = real.cpu().numpy()
            rows.append(batch.rows[real].cpu().numpy())
            there = torch.stack([batch.inputs[name]["mask"].any(1) for name in modalities], 1)
            present.append(there[real].cpu().numpy())
            # each encoder by itself, without what a fusion would inject from the others
            alone = {name: encoder(batch.inputs[name]) for name, encoder in model.named_encoders().items()}
            for name in modalities:
                pooled[name].append(alone[name].pooled[real].float().cpu().numpy())
            for name in tasks:
                labels[name].append(held_labels(own[name], batch.targets[name])[kept])
            if answers_too:
                output = model.decode(as_fused(model, batch, alone), inputs=batch.inputs)
                for name in tasks:
                    answers[name].append(held_answers(own[name], output, name, batch)[kept])
    joined = stacked(answers)
    return Read(
        np.concatenate(rows),
        np.concatenate(present),
        stacked(pooled),
        stacked(labels),
        {name: made for name, made in joined.items() if tasks[name].kind != "retrieval"},
        {name: made for name, made in joined.items() if tasks[name].kind == "retrieval"},
        skipped,
    )


def stacked(parts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """The batches of each name as one array."""
    return {name: np.concatenate(of) for name, of in parts.items()}


def as_fused(model: MultimodalModel, batch: Batch, alone: Mapping[str, Encoded]) -> dict[str, Encoded]:
    """What the fusion reads: the modalities as they are alone, but for one that it injects the others into."""
    injected = model.fusion.injects_into
    return {name: model.encode_injected(batch.inputs, alone) if name == injected else x for name, x in alone.items()}


def held_answers(task: Task, output: Any, name: str, batch: Batch) -> np.ndarray:
    """(B, C) probabilities, (B,) numbers, (B,) ``TaggedWords``, or (B, M, E) vectors of retrieval."""
    outputs = output.outputs[name]
    if isinstance(task, Tagging):
        return word_answers(task, outputs, batch.targets[name], batch.alignments[task.reads])
    if task.kind == "retrieval":
        return np.asarray(outputs["vectors"].float().cpu().numpy())
    answers = task.predict(output.state, outputs)
    if task.kind == "regression":
        return np.array([answer["prediction"] for answer in answers], np.float64)
    return np.array([list(answer["probabilities"].values()) for answer in answers], np.float64)


def held_labels(task: Task, targets: Mapping[str, torch.Tensor]) -> np.ndarray:
    """(B,) classes, -1 = none; (B, C) of 0 and 1, or (B,) numbers in the table's unit, NaN = none; (B,) of tags."""
    if isinstance(task, Tagging):
        return word_labels(targets)
    if task.kind == "retrieval":
        return np.zeros(len(targets["counted"]))
    if task.kind == "regression":
        decoded = task.decode(dict(targets))
        return np.array([np.nan if label is None else label for label in decoded], np.float64)
    given = targets["label"].cpu().numpy()
    return np.where(given < 0, -1, given) if task.kind == "classification" else given.astype(np.float64)
