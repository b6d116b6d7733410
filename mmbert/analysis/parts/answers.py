"""The numbers of a task's answers, one by one, as functions with gradients: what an explanation by gradients explains.

    kind of task       numbers of a sample                         explained by default
    classification     the probability of each of C classes,       that of the class that is answered
                       calibrated if the task is
    multilabel         the probability that each of C properties   that of each property that is answered with yes; of
                       holds, calibrated if the task is            the likeliest where none is
    regression         the number that is answered                 it

Tasks of other kinds answer with many words, tags or ranks, and have no one number a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.types import State, Tensors
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Task

KINDS = ("classification", "multilabel", "regression")
#: The name of the one number of a regression.
NUMBER = "value"


class TaskAnswers:
    """A task of a model as a function of what is fused.

    Args:
        model: that the task is of.
        name: of the task.
        classes: those that are explained, whatever is answered; empty = what is answered.

    Attributes:
        names: of the C numbers.

    Raises:
        ConfigError: the task has no such numbers, or there is no such class.
    """

    def __init__(self, model: MultimodalModel, name: str, classes: Sequence[str] = ()) -> None:
        self.model, self.name = model, name
        self.task: Task = model.named_tasks()[name]
        if why := without_numbers(self.task):
            raise ConfigError(f"task={name}: {why}")
        self.names = [NUMBER] if self.task.kind == "regression" else [str(each) for each in self.task.classes]  # type: ignore[union-attr]
        for one in classes:
            if one not in self.names:
                raise ConfigError(f"class={one}: the task '{name}' has no such class. {nearest(one, self.names)}")
        self.columns = [self.names.index(one) for one in classes]

    @property
    def scale(self) -> float:
        """What counts as much of the numbers: 1 of a probability, of a number its deviation in the train split."""
        if self.task.kind != "regression":
            return 1.0
        spec = self.task.output_spec
        return float(getattr(spec, "scale", 1.0))

    def numbers(self, state: State) -> Tensor:
        """(B, C) of a fused batch; only this task's head is run."""
        heads = self.model.named_decision_heads()
        if self.name in heads:
            outputs: Tensors = heads[self.name].outputs(heads[self.name](self.task, state))
        else:
            outputs = self.task(state, None)
        if self.task.kind == "regression":
            return outputs["value"].reshape(-1, 1)
        found: Tensor = self.task.probabilities(outputs)  # type: ignore[operator]
        return found

    def chosen(self, numbers: Tensor) -> list[list[int]]:
        """numbers (B, C) -> for each sample the places of the numbers that are explained."""
        if self.columns or self.task.kind == "regression":
            return [self.columns or [0] for _ in numbers]
        if self.task.kind == "classification":
            return [[place] for place in numbers.argmax(1).tolist()]
        best = numbers.argmax(1).tolist()
        held = [row.nonzero().flatten().tolist() for row in numbers > 0.5]
        return [places or [one] for places, one in zip(held, best, strict=True)]


def without_numbers(task: Task) -> str | None:
    """Why a task has no number of one sample's answer that gradients could explain; None if it has."""
    if task.kind not in KINDS:
        return (
            f"it is of the kind {task.kind}, whose answer is not one number a sample; parts are explained of "
            f"{', '.join(KINDS)}. Without parts=true its modalities' shares may be."
        )
    if task.kind != "regression" and not (hasattr(task, "probabilities") and hasattr(task, "classes")):
        return f"{type(task).__name__} has no method 'probabilities' and no 'classes', from which its numbers are read."
    return None


def explained_tasks(model: MultimodalModel, wanted: Sequence[str], classes: Sequence[str]) -> list[TaskAnswers]:
    """The tasks that are explained: those that are named, else all that can be.

    Raises:
        ConfigError: there is no such task or class, or one cannot be explained.
    """
    tasks = model.named_tasks()
    for name in wanted:
        if name not in tasks:
            raise ConfigError(f"task={name}: the model has no such task. {nearest(name, tasks)}")
    names = list(dict.fromkeys(wanted)) or [name for name, task in tasks.items() if without_numbers(task) is None]
    if not names:
        kinds = ", ".join(f"{name}: {task.kind}" for name, task in tasks.items())
        raise ConfigError(f"None of the model's tasks ({kinds}) answers with one number a sample ({', '.join(KINDS)}).")
    if classes and len(names) > 1:
        raise ConfigError(
            f"class={','.join(classes)}: of which task? Name one: task={names[0]} (or {', '.join(names[1:])})."
        )
    return [TaskAnswers(model, name, classes) for name in names]
