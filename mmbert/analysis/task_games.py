"""Two games for each task whose players are the modalities: what a subset is worth to the output, and to the metric.

    tasks with                     a subset's worth to the output of a sample         with no modality at all
    kind = classification          probability of the class that is answered with     the constant answer
                                   all of the sample's modalities
    kind = multilabel              mean over the properties of the probability of     the constant answer
                                   what is answered of each with all modalities
    kind = regression              the number that is answered                        the constant answer
    another, target_score          how well the label is answered: as a rule its      0: there is no answer
                                   probability (a text's, tags', a stretch's); 0
                                   without the modality that the answer is read in

The constant answer is the mean of the answers over the split (of probabilities, of numbers), all modalities given: the
expectation of the model from which SHAP sets out (Lundberg and Lee 2017, arXiv:1705.07874).
The metric is ``main_metric``, or the first one of a task that chooses its checkpoint by the loss: of the first three
kinds with the constant answer for samples of which a subset leaves nothing; of the others over the samples that have
all modalities. There no modality at all is worth as much as all but the one that the answer is read in, with which
there is no answer either; where the answer is read in none, as a written one is, 0, or of an error rate 1; and where
the task knows what a constant answer is worth (``chance``), that. Retrieval has a game of its own (``retrieval_game``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchmetrics import MetricCollection

from mmbert.analysis.cooperative_game import subset_members
from mmbert.core.types import State, Tensors, rows_of
from mmbert.model import ModelOutput
from mmbert.tasks.base import Task
from mmbert.tasks.one_class import OneClass
from mmbert.tasks.ordinal import Ordinal
from mmbert.tasks.retrieval import Retrieval

#: What is explained, by kind of task.
EXPLAINED = {
    "classification": "probability of the class that is answered with all modalities",
    "multilabel": "mean probability of what is answered of each property with all modalities",
    "regression": "the number that is answered",
}
NO_METRIC = "the task has no metric"
NONE_COMPLETE = "no labelled sample has all modalities"
#: Of tasks that change what the model reads, beside tasks that do not.
NOTHING_CHANGED = (
    "it is measured on changed inputs, which the model's other tasks do not allow in evaluation: explain a run of this "
    "task alone"
)
NO_INTERVAL = "its metric is known of the whole split alone: it has no interval"


@dataclass(frozen=True)
class Game:
    """What subsets of the modalities are worth to a task.

    Attributes:
        explained: what an output's worth is.
        worth: (N, 2^M) float64 of each sample; NaN where a task that needs a label has none.
        metric: name of the main metric; None = it has no value on this split.
        higher_is_better: of the metric.
        metric_worth: (2^M,) float64 the metric of each subset; None with ``metric``.
        resampled: samples (n,) int64, some of them several times -> (2^M,) their metric; None = it is known of the
            whole split alone.
        why: why ``metric_worth`` or ``resampled`` is None.
    """

    explained: str
    worth: np.ndarray
    metric: str | None
    higher_is_better: bool
    metric_worth: np.ndarray | None
    resampled: Callable[[np.ndarray], np.ndarray] | None
    why: str = ""


def explainable(task: Task) -> bool:
    """Whether there is a number of each sample whose parts can be shared out to the modalities."""
    kind = type(task)
    scored = kind.target_score is not Task.target_score or kind.target_probability is not Task.target_probability
    return kind.kind in EXPLAINED or isinstance(task, Retrieval) or scored


def explained_metric(task: Task, metrics: MetricCollection) -> tuple[str, bool] | None:
    """The metric that is shared out, and whether more of it is better; None = the task has none.

    It is ``main_metric``, or where that is the loss the first one of which the better end is known.
    """
    if task.main_metric in metrics:
        return task.main_metric, task.higher_is_better
    return next(
        ((str(name), bool(one.higher_is_better)) for name, one in metrics.items() if one.higher_is_better is not None),
        None,
    )


class AnswerReader:
    """Reads a task whose answer is classes, properties or a number.

    Args:
        name: of the task.
        task: the model's.
        players: M.
    """

    def __init__(self, name: str, task: Task, players: int) -> None:
        self.name, self.task = name, task
        self.subsets = 2**players
        self.parts: list[list[tuple[np.ndarray, Tensors, np.ndarray]]] = [[] for _ in range(self.subsets)]
        self.targets: list[Tensors] = []
        self.state: State | None = None

    def add(self, subset: int, samples: np.ndarray, present: np.ndarray, output: ModelOutput, targets: Tensors) -> None:
        """See ``SubsetReader``."""
        outputs = {key: tensor.detach() for key, tensor in output.outputs[self.name].items()}
        self.state = self.state or output.state
        self.parts[subset].append((samples, outputs, self._answers(output.state, outputs)))
        if subset == self.subsets - 1:
            self.targets.append(targets)

    def _answers(self, state: State, outputs: Tensors) -> np.ndarray:
        """(n, C) probabilities, or (n, 1) numbers."""
        answers: list[Any] = self.task.predict(state, outputs)
        if self.task.kind == "regression":
            return np.array([[answer["prediction"]] for answer in answers], dtype=np.float64)
        return np.array([list(answer["probabilities"].values()) for answer in answers], dtype=np.float64)

    def game(self, count: int) -> Game:
        """The game of N samples, all of which were read."""
        last = self.subsets - 1
        whole = np.concatenate([answered for _, _, answered in self.parts[last]])  # (N, C)
        guess = whole.mean(0)
        answers = np.broadcast_to(guess, (count, self.subsets, len(guess))).copy()
        for subset, parts in enumerate(self.parts):
            for samples, _, answered in parts:
                answers[samples, subset] = answered
        worth = worth_of_answers(answers, self.task.kind)
        constant = constant_outputs(self.task, self._joined(last), guess)
        assert self.state is not None
        if constant is None or not np.allclose(self._answers(self.state, constant), guess, rtol=1e-3, atol=1e-5):
            why = "the task's output_spec does not say how outputs of the constant answer are made"
            return Game(EXPLAINED[self.task.kind], worth, None, True, None, None, why)
        outputs = [self._filled(subset, constant, count) for subset in range(self.subsets)]
        targets = {key: torch.cat([part[key] for part in self.targets]) for key in self.targets[0]}
        return self._game(worth, outputs, targets)

    def _filled(self, subset: int, constant: Tensors, count: int) -> Tensors:
        """The outputs of N samples with a subset: constant where it leaves them nothing."""
        filled = {key: tensor.expand(count, *tensor.shape[1:]).clone() for key, tensor in constant.items()}
        for samples, made, _ in self.parts[subset]:
            for key, tensor in made.items():
                filled[key][torch.from_numpy(samples).to(tensor.device)] = tensor
        return filled

    def _joined(self, subset: int) -> Tensors:
        parts = [made for _, made, _ in self.parts[subset]]
        return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def _game(self, worth: np.ndarray, outputs: list[Tensors], targets: Tensors) -> Game:
        """With the metric, if it has a value with every subset."""
        task, metrics = self.task, self.task.make_metrics()
        explained, chosen = EXPLAINED[task.kind], explained_metric(task, metrics)
        if chosen is None or not bool(task.labelled(targets).any()):
            why = NO_METRIC if chosen is None else "no sample has a label"
            return Game(explained, worth, None, True, None, None, why)
        main, better = chosen
        metrics = metrics.to(next(iter(targets.values())).device)

        def resampled(samples: np.ndarray) -> np.ndarray:
            index = torch.from_numpy(samples).to(next(iter(targets.values())).device)
            drawn = rows_of(targets, index)
            return np.array([metric_value(task, metrics, main, rows_of(made, index), drawn) for made in outputs])

        whole = resampled(np.arange(len(worth)))
        if np.isnan(whole).any():
            return Game(explained, worth, None, better, None, None, f"{main} has no value on these samples")
        return Game(explained, worth, main, better, whole, resampled)


class LabelReader:
    """Reads a task of which the probability of the label is known.

    Args:
        name: of the task.
        task: the model's.
        dims: names of the M modalities.
    """

    def __init__(self, name: str, task: Task, dims: Sequence[str]) -> None:
        self.name, self.task = name, task
        self.members = subset_members(len(dims))
        self.needed = np.array([dim in task.answers_in for dim in dims])
        self.parts: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.metrics = [task.make_metrics() for _ in self.members]
        self.complete = 0  # labelled samples with every modality
        self.answered = np.zeros(len(self.members), dtype=bool)  # whether any of them has an answer with a subset

    def add(self, subset: int, samples: np.ndarray, present: np.ndarray, output: ModelOutput, targets: Tensors) -> None:
        """See ``SubsetReader``."""
        outputs, device = output.outputs[self.name], next(iter(targets.values())).device
        labelled = self.task.labelled(targets).cpu().numpy()
        found = self.task.target_score(outputs, targets).double().cpu().numpy()
        readable = (present & self.members[subset] | ~self.needed).all(1)
        self.parts.append((subset, samples, np.where(labelled, np.where(readable, found, 0), np.nan)))
        complete = present.all(1)
        if complete.any():
            index = torch.from_numpy(np.flatnonzero(complete)).to(device)
            self.task.update(self.metrics[subset].to(device), rows_of(outputs, index), rows_of(targets, index))
            self.answered[subset] |= bool((found[complete & labelled] != 0).any())
        if subset == len(self.members) - 1:
            self.complete += int((complete & labelled).sum())

    def game(self, count: int) -> Game:
        """The game of N samples, all of which were read."""
        worth = np.zeros((count, len(self.members)))
        for subset, samples, found in self.parts:
            worth[samples, subset] = found
        worth[np.isnan(worth).any(1)] = np.nan  # unlabelled
        explained, chosen = self.task.target_score_name, explained_metric(self.task, self.metrics[0])
        if chosen is None or not self.complete:
            unchanged = self.task.changes_inputs and not np.isfinite(worth).all(1).any()
            why = NO_METRIC if chosen is None else NOTHING_CHANGED if unchanged else NONE_COMPLETE
            return Game(explained, worth, None, True, None, None, why)
        main, better = chosen
        values = [self._value(subset, main) for subset in range(1, len(self.members))]
        without = self._unanswered()
        empty = values[without - 1] if without else (0.0 if better else 1.0)
        if main == self.task.main_metric and self.task.chance is not None:
            empty = self.task.chance
        metric_worth = np.array([empty, *values])
        if np.isnan(metric_worth).any():
            return Game(explained, worth, None, better, None, None, f"{main} has no value on these samples")
        return Game(explained, worth, main, better, metric_worth, None, NO_INTERVAL)

    def _value(self, subset: int, main: str) -> float:
        """The metric with a subset: that of chance where no sample has an answer, and the task knows it."""
        chance = self.task.chance if main == self.task.main_metric else None
        unread = bool((self.needed & ~self.members[subset]).any()) or not self.answered[subset]
        return chance if chance is not None and unread else float(self.metrics[subset][main].compute())

    def _unanswered(self) -> int:
        """The number of the largest subset in which no answer can be read; 0 where there is no such modality."""
        if not self.needed.any():
            return 0
        return int((~self.needed) @ (1 << np.arange(len(self.needed))))


def metric_value(task: Task, metrics: MetricCollection, main: str, outputs: Tensors, targets: Tensors) -> float:
    """A metric of samples; NaN where it has none."""
    metrics.reset()
    task.update(metrics, outputs, targets)
    return float(metrics[main].compute())


def constant_outputs(task: Task, outputs: Tensors, answer: np.ndarray) -> Tensors | None:
    """Outputs (1, ...) of which a task makes a given answer; None where it does not say how they are made.

    Args:
        task: of classes, properties or a number.
        outputs: of N samples; what is no logit or number becomes their mean.
        answer: (C,) probabilities, calibrated if the task is, or (1,) the number.
    """
    spec = task.output_spec
    key = "logits" if spec is None and isinstance(task, OneClass) else None if spec is None else spec.output
    if key is None or not all(tensor.is_floating_point() for tensor in outputs.values()):
        return None
    made = {name: tensor.mean(0, keepdim=True) for name, tensor in outputs.items()}
    given = torch.as_tensor(answer)
    likely = given.clamp(1e-12, 1 - 1e-12)
    temperature = float(getattr(task, "temperature", 1.0))
    if task.kind == "classification":
        given = temperature * likely.log()
        if isinstance(task, Ordinal):  # its logits are those of P(y > c)
            given = given.softmax(0).flip(0).cumsum(0).flip(0)[1:].clamp(1e-12, 1 - 1e-12).logit()
    elif task.kind == "multilabel":
        given = temperature * likely.logit()
    made[key] = given.to(made[key]).reshape(made[key].shape)
    return made


def worth_of_answers(answers: np.ndarray, kind: str) -> np.ndarray:
    """(N, 2^M, C) answers -> (N, 2^M) what they are worth to the answer of the whole, the last subset."""
    whole = answers[:, -1]  # (N, C)
    if kind == "regression":
        return answers[..., 0]
    if kind == "classification":
        return np.take_along_axis(answers, whole.argmax(1)[:, None, None], 2)[..., 0]
    return np.where(whole[:, None] > 0.5, answers, 1 - answers).mean(2)
