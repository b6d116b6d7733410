"""What a model answers to one sample, with every subset of its modalities, and what each of them contributes.

The numbers are those of ``mmbert.analysis``: exact Shapley values over all subsets of the modalities that it has, of
the probability of the class that is answered, of the number, or of the mean probability of what is answered of each
property; shares are |φ| over Σ|φ| (MM-SHAP). No modality at all is worth the mean answer over a split that the run has
measured, as ``mmbert-explain`` takes it of its split; of a model without a run, the answer that knows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.analysis.cooperative_game import shapley_of_subsets, shares_of_values, subset_members
from mmbert.analysis.explanation import MOST_PLAYERS
from mmbert.analysis.task_games import EXPLAINED, worth_of_answers
from mmbert.core.errors import InputError
from mmbert.data.modalities.registry import modality_of
from mmbert.model import MultimodalModel
from mmbert.model.samples import present_values
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions_file import read_table_of_predictions
from mmbert.tasks.base import Task

#: ``{task: {"prediction": label, "probabilities": ...}}``, as ``MultimodalModel.predict`` gives it.
AnswersByTask = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ModalityContribution:
    """What a modality contributes to one task's answer.

    Attributes:
        value: its Shapley value.
        share: |value| over the sum of all, in parts of 1; NaN where no modality changes the answer.
    """

    value: float
    share: float


@dataclass(frozen=True)
class SampleShares:
    """What was found of one sample.

    Attributes:
        answers: with all of its modalities.
        without: answers by the modality that was taken away; empty where the sample has one alone.
        contributions: by task and modality, of tasks that can be explained.
    """

    answers: AnswersByTask
    without: dict[str, AnswersByTask]
    contributions: dict[str, dict[str, ModalityContribution]]


def explain_sample(
    model: MultimodalModel, sample: Mapping[str, Any], baseline: Mapping[str, np.ndarray]
) -> SampleShares:
    """Asks the model with every subset of the modalities that a sample has.

    Args:
        model: in evaluation mode.
        sample: values as ``MultimodalModel.predict`` takes them; each file is read once.
        baseline: by task the answer without any modality; see ``baseline_answers``.

    Raises:
        InputError: it has no modality, or too many.
        DataError: a file cannot be read.
    """
    processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
    given = present_values(sample, 0, processors)
    raws = {name: modality_of(processors[name]).from_python(value, processors[name]) for name, value in given.items()}
    names = [name for name in processors if name in raws]
    if len(names) > MOST_PLAYERS:
        raise InputError(f"The sample has {len(names)} modalities; up to {MOST_PLAYERS} are explained.")
    members = subset_members(len(names))[1:]
    subsets = [{name: raws[name] for name, inside in zip(names, row, strict=True) if inside} for row in members]
    answers = model.predict(subsets)
    whole = len(answers) - 1
    without = {name: answers[whole - (1 << place)] for place, name in enumerate(names)} if len(names) > 1 else {}
    contributions = {
        task: contributions_of(
            [answer[task] for answer in answers], baseline[task], model.named_tasks()[task].kind, names
        )
        for task in baseline
    }
    return SampleShares(answers[whole], without, contributions)


def contributions_of(
    answers: list[dict[str, Any]], baseline: np.ndarray, kind: str, names: list[str]
) -> dict[str, ModalityContribution]:
    """Of one task.

    Args:
        answers: of the subsets 1 to 2^M - 1.
        baseline: (C,) of the empty one.
        kind: of the task.
        names: of the M modalities.
    """
    rows = [baseline, *(answer_numbers(answer, kind) for answer in answers)]
    worth = worth_of_answers(np.stack(rows)[None], kind)  # (1, 2^M)
    values = shapley_of_subsets(worth)
    shares = shares_of_values(values, worth)
    found = zip(names, values[0].tolist(), shares[0].tolist(), strict=True)
    return {name: ModalityContribution(value, share) for name, value, share in found}


def answer_numbers(answer: Mapping[str, Any], kind: str) -> np.ndarray:
    """(C,) probabilities, or (1,) the number."""
    if kind == "regression":
        return np.array([answer["prediction"]], np.float64)
    return np.array(list(answer["probabilities"].values()), np.float64)


def baseline_answers(model: MultimodalModel, run: RunFolder, split: str = "test") -> tuple[dict[str, np.ndarray], str]:
    """What tasks answer without any modality, by task, for those that can be explained; and what that is in words.

    Raises:
        DataError: the run's predictions are damaged.
    """
    tasks = {name: task for name, task in model.named_tasks().items() if task.kind in EXPLAINED}
    path = run.predictions_of(split)
    if path.is_file():
        table = read_table_of_predictions(path)
        if all(answer_column(name, task) in table.column_names for name, task in tasks.items()):
            found = {name: mean_answer(table.column(answer_column(name, task)), task) for name, task in tasks.items()}
            return found, f"the mean answer over the run's split {split}"
    return {name: blank_answer(task) for name, task in tasks.items()}, "an answer that knows nothing"


def answer_column(name: str, task: Task) -> str:
    """Of a run's table of predictions that with probabilities or numbers."""
    return f"{name}/{'prediction' if task.kind == 'regression' else 'probabilities'}"


def mean_answer(column: Any, task: Task) -> np.ndarray:
    """(C,) or (1,): the mean over samples that have an answer."""
    import pyarrow as pa

    whole = column.combine_chunks()
    if task.kind == "regression":
        return np.array([np.nanmean(whole.to_numpy(zero_copy_only=False).astype(np.float64))])
    known = whole.drop_null()
    parts = [pa.compute.mean(known.field(place)).as_py() for place in range(known.type.num_fields)]
    return np.array(parts, np.float64)


def blank_answer(task: Task) -> np.ndarray:
    """(C,) every class as likely as the others, every property as likely as not; (1,) the centre of the numbers."""
    spec = task.output_spec
    if task.kind == "regression":
        return np.array([0.0 if spec is None else spec.centre])
    count = len(getattr(task, "classes", ())) or (0 if spec is None else spec.size)
    return np.full(count, 1 / count if task.kind == "classification" else 0.5)
