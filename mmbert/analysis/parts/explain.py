"""Explains answers of a model sample by sample: integrated gradients of parts, attention rollout, gates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.analysis.parts.answers import TaskAnswers
from mmbert.analysis.parts.differentiable import ReadFunction, differentiable
from mmbert.analysis.parts.integrated_gradients import integrated_gradients
from mmbert.analysis.parts.rollout import encoder_rollout, fusion_rollout
from mmbert.core.types import Batch, Inputs, Tensors, rows_of
from mmbert.encoders.continuous import Continuous
from mmbert.model import MultimodalModel


@dataclass(frozen=True)
class PathOptions:
    """How the integral is taken.

    Attributes:
        steps: terms of the sum to begin with.
        most_steps: and at most.
        tolerance: share of what counts as much of a number (``TaskAnswers.scale``) up to which a gap is let be.
    """

    steps: int = 64
    most_steps: int = 1024
    tolerance: float = 0.01


@dataclass(frozen=True)
class ExplainedAnswer:
    """One number of a sample's answer.

    Attributes:
        task: its name.
        answer: name of the class or property; ``value`` of a number.
        output: f(x).
        baseline: f(x').
        gap: |Σ parts - (f(x) - f(x'))|.
        steps: terms of the sum.
        much: whether the gap is above the tolerance after the most steps.
        parts: by modality that the sample has: of a text (L,) and of ready features (L,), sums over widths; of a
            picture (height, width), sums over colours; of a clip (T,), sums over each picture; of log-mel
            frames (L, bands); of a waveform (T,).
    """

    task: str
    answer: str
    output: float
    baseline: float
    gap: float
    steps: int
    much: bool
    parts: dict[str, np.ndarray]

    def contributions(self) -> dict[str, float]:
        """The sum of each modality's parts."""
        return {name: float(part.sum(dtype=np.float64)) for name, part in self.parts.items()}


@dataclass(frozen=True)
class ExplainedSample:
    """What was found of a row.

    Attributes:
        row: of the table.
        answers: that are explained.
        numbers: what the encoders read, by modality that the sample has: pixels (3, height, width), log-mel frames
            (L, bands), a waveform (T,).
        alignments: of texts, as ``Aligned.alignment`` gives them.
        sounds: waveforms (T,) at the encoder's rate.
        rollout: by modality whose encoder has attention weights, (L,) of its tokens.
        shares: gates and weights of the fusion: by their name, of each modality.
        diagnostics: everything that the fusion gives of the sample.
    """

    row: int
    answers: list[ExplainedAnswer] = field(default_factory=list)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    alignments: dict[str, Any] = field(default_factory=dict)
    sounds: dict[str, np.ndarray] = field(default_factory=dict)
    rollout: dict[str, np.ndarray] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    diagnostics: dict[str, np.ndarray] = field(default_factory=dict)


def explain_parts(
    model: MultimodalModel,
    batches: Iterable[Batch],
    answers: Sequence[TaskAnswers],
    device: torch.device,
    options: PathOptions,
    done: Callable[[str], None] = lambda task: None,
) -> list[ExplainedSample]:
    """Explains every real sample of some batches, which must come from files and not from the store.

    Args:
        model: on the device.
        batches: with alignments of texts, where words are to be shown.
        answers: the tasks.
        device: the model's.
        options: of the integral.
        done: told the name of each task when it is explained for a batch, which may take minutes.
    """
    found: list[ExplainedSample] = []
    with differentiable(model):
        for given in batches:
            batch = kept_rows(given, given.rows >= 0).to(device)
            if len(batch):
                found += explained_batch(model, batch, answers, options, done)
    return found


def kept_rows(batch: Batch, kept: Tensor) -> Batch:
    """Some of the samples of a batch."""
    places = kept.nonzero().flatten().tolist()
    alignments: dict[str, Sequence[Any]] = {
        name: [each[place] for place in places] for name, each in batch.alignments.items()
    }
    return Batch(rows_of(batch.inputs, kept), rows_of(batch.targets, kept), batch.rows[kept], (), alignments)


def explained_batch(
    model: MultimodalModel,
    batch: Batch,
    answers: Sequence[TaskAnswers],
    options: PathOptions,
    done: Callable[[str], None],
) -> list[ExplainedSample]:
    """The samples of one batch, inside ``differentiable``."""
    present = {name: inputs["mask"].any(1) for name, inputs in batch.inputs.items()}
    reads = ReadFunction(answers[0], batch.inputs).read
    found = [read_sample(batch, reads, place) for place in range(len(batch))]
    for task in answers:
        for place, answer in explained_answers(task, batch.inputs, options):
            found[place].answers.append(answer)
        done(task.name)
    for name, encoder in model.named_encoders().items():
        rows = present[name].nonzero().flatten()
        reached = encoder_rollout(encoder, rows_of(batch.inputs[name], rows)) if len(rows) else None
        if reached is not None:
            for place, values in zip(rows.tolist(), reached, strict=True):
                found[place].rollout[name] = real_part(values, batch.inputs[name]["mask"][place])
    add_shares(model, batch.inputs, found)
    return found


def explained_answers(
    task: TaskAnswers, inputs: Mapping[str, Inputs], options: PathOptions
) -> list[tuple[int, ExplainedAnswer]]:
    """The numbers of one task that are explained, with the sample that each is of."""
    function = ReadFunction(task, inputs)
    whole = {name: read.numbers for name, read in function.read.items()}
    size = len(next(iter(whole.values())))
    device = next(iter(whole.values())).device
    with torch.no_grad():
        chosen = task.chosen(function.all_numbers(whole, torch.arange(size, device=device)))
    pairs = [(row, column) for row, columns in enumerate(chosen) for column in columns]
    rows, columns = torch.tensor(pairs, device=device).T
    tolerance = options.tolerance * task.scale
    made = integrated_gradients(function, rows, columns, options.steps, options.most_steps, tolerance)
    answers = []
    for number, (row, column) in enumerate(pairs):
        parts = {
            name: reduced(made.parts[name][number], read, row)
            for name, read in function.read.items()
            if bool(inputs[name]["mask"][row].any())
        }
        gap = float(made.gap[number])
        output, baseline = float(made.output[number]), float(made.baseline[number])
        steps, much = int(made.steps[number]), gap > tolerance
        answers.append((row, ExplainedAnswer(task.name, task.names[column], output, baseline, gap, steps, much, parts)))
    return answers


def reduced(values: Tensor, read: Continuous, row: int) -> np.ndarray:
    """What was found of one sample's numbers -> of its parts, without padding; see ``ExplainedAnswer``."""
    if read.key == "pixels":
        return values.sum(0, dtype=torch.float64).cpu().numpy()
    if read.key == "pictures":
        return real_part(values.flatten(1).sum(1, dtype=torch.float64), read.inputs["mask"][row])
    summed = values.double() if read.key == "frames" or values.ndim < 2 else values.sum(-1, dtype=torch.float64)
    return real_part(summed, read.inputs["mask"][row])


def real_part(values: Tensor, mask: Tensor) -> np.ndarray:
    """values (L, ...), mask (L,) -> without padding; as they are where the mask is not of these places."""
    return (values[mask] if len(mask) == len(values) else values).detach().cpu().numpy()


def read_sample(batch: Batch, reads: Mapping[str, Continuous], place: int) -> ExplainedSample:
    """What a page shows of a sample, besides its explanation."""
    sample = ExplainedSample(int(batch.rows[place]))
    for name, read in reads.items():
        mask = batch.inputs[name]["mask"][place]
        if not bool(mask.any()):
            continue
        numbers = read.numbers[place]
        if read.key == "pixels":
            sample.numbers[name] = numbers.detach().cpu().numpy()
        elif read.key in ("frames", "waveform"):
            sample.numbers[name] = real_part(numbers, read.inputs["mask"][place])
        if "waveform" in batch.inputs[name]:
            sample.sounds[name] = real_part(batch.inputs[name]["waveform"][place], mask)
        aligned = batch.alignments.get(name)
        if aligned is not None and aligned[place] is not None and "text" in aligned[place]:
            sample.alignments[name] = aligned[place]
    return sample


@torch.no_grad()
def add_shares(model: MultimodalModel, inputs: Mapping[str, Tensors], found: Sequence[ExplainedSample]) -> None:
    """Adds what gates, weights and attention of the fusion give to each modality."""
    encoded = model.encode(inputs)
    present = torch.stack([encoded[name].present for name in model.fusion.dims], 1)
    shares: dict[str, Tensor] = {}
    everything: dict[str, Tensor] = {}
    if model.has_diagnostics:
        state = model.state(encoded, "shares", inputs)
        fused = model.answer(state, "shares").fused if model.named_decision_heads() else state.fused
        shares = dict(fused.diagnostics)
    if model.fusion.has_diagnostics:
        everything = dict(model.state(encoded, True, inputs).fused.diagnostics)
        ordered = {name: encoded[name] for name in model.fusion.dims}
        if (flow := fusion_rollout(everything, ordered)) is not None:
            shares["share/rollout"] = flow
    for name, values in shares.items():
        means = values.reshape(*values.shape[:2], -1).mean(2)  # a gate has a vector for each modality
        for place, sample in enumerate(found):
            pairs = zip(model.fusion.dims, means[place].tolist(), present[place].tolist(), strict=True)
            sample.shares[name] = {modality: value for modality, value, there in pairs if there}
    for name, values in everything.items():
        if values.ndim and len(values) == len(found):
            for place, sample in enumerate(found):
                sample.diagnostics[name] = values[place].cpu().numpy()
