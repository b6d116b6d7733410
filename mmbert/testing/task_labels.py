"""Laws of tasks: building, shapes, labels on their way to targets and back, predictions in their words."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import torch
from torch import Tensor

from mmbert.core.errors import DataError
from mmbert.core.types import Loss, Tensors
from mmbert.tasks.base import Task
from mmbert.testing.report import ContractViolation
from mmbert.testing.task_samples import TaskCase
from mmbert.testing.tensors import difference

#: Steps in which a head learns a few samples by heart, and the learning rate.
STEPS, RATE = 300, 0.1
#: The loss must fall to this share before predictions of other kinds of task are compared with labels.
LEARNT = 0.05
#: A number is predicted if it is so close, as a share of the labels' range.
CLOSE = 0.2
WRONG_CELL = "no such label ☃"


def can_be_built(case: TaskCase) -> None:
    """It derives from ``Task``; if it reads columns, its labels can be encoded."""
    task = case.make()
    if not isinstance(task, Task):
        seen = f"what is built is a {type(task).__name__}, not a Task"
        raise ContractViolation(seen, "derive from mmbert.tasks.base.Task")
    if not isinstance(task.columns, tuple):
        raise ContractViolation(f"columns is {task.columns!r}", 'a tuple of names: ("label",), or () for no label')
    lacking = [column for column in task.columns if column not in case.cells[0]]
    if lacking:
        raise ContractViolation(
            f"there are no cells to try for the column '{lacking[0]}' of a task of the kind '{task.kind}'",
            "pass some: cells=[...], of several columns as dictionaries; and texts=[...] if labels belong to words",
        )


def shapes_are_right(case: TaskCase) -> None:
    """Targets and outputs are named tensors with the samples first; a loss is two scalars; a prediction a sample."""
    task = case.make().eval()
    rows = [None, *range(case.size)]
    state, targets = case.state(task), case.all_targets(task)
    named(targets, case.size, "targets")
    labelled = task.labelled(case.targets(task, rows))
    if labelled.dtype != torch.bool or labelled.tolist() != [row is not None for row in rows]:
        raise ContractViolation(
            f"labelled gives {labelled.tolist()} for a sample without a label and {case.size} with one",
            "labelled is (B,) bool, True where encode gave a label",
        )
    outputs = task(state, targets)
    named(outputs, case.size, "outputs")
    named(task(state), case.size, "outputs without targets")
    loss = task.loss(outputs, targets)
    if not isinstance(loss, Loss) or loss.total.ndim or torch.as_tensor(loss.count).ndim:
        raise ContractViolation(
            f"loss gives {loss!r:.100}", "Loss(total, count), scalars both: the sum, and over how many"
        )
    known = torch.as_tensor(task.count(targets)).float()
    if task.columns and not torch.isclose(known, torch.as_tensor(loss.count).float()):
        raise ContractViolation(
            f"count(targets) is {known.item():g}, the loss's count {float(loss.count):g}",
            "gradient accumulation weighs batches by count(targets): implement it in the units of the loss",
        )
    given = predictions(task, case)
    if task.main_metric != "loss" and task.main_metric not in task.make_metrics():
        seen = f"main_metric is '{task.main_metric}', the metrics are {list(task.make_metrics())}"
        raise ContractViolation(seen, "main_metric names one of make_metrics, or is 'loss'")
    try:
        json.dumps(given)
    except TypeError as error:
        raise ContractViolation(f"a prediction cannot be written as JSON: {error}", "tolist(), item()") from error


def named(tensors: Tensors, size: int, what: str) -> None:
    """Refuses what is no dictionary of tensors with ``size`` samples first."""
    if not isinstance(tensors, dict):
        raise ContractViolation(f"{what} are a {type(tensors).__name__}", "a dictionary of tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.shape[:1] != (size,):
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ContractViolation(
                f"'{name}' of the {what} is {shape}, for {size} samples", "samples come first: (B, ...)"
            )


def predictions(task: Task, case: TaskCase) -> list[dict[str, Any]]:
    """What the task predicts of all samples.

    Raises:
        ContractViolation: it is not a dictionary with ``prediction`` for each sample.
    """
    state = case.state(task)
    with torch.no_grad():
        given = task.predict(state, task(state))
    if len(given) != case.size or not all(isinstance(one, dict) and "prediction" in one for one in given):
        seen = f"predict gives {given!r:.100} for {case.size} samples"
        raise ContractViolation(seen, 'one dictionary a sample, with "prediction"')
    if task.kind in ("classification", "multilabel"):
        for one in given:
            shares = one.get("probabilities")
            if not isinstance(shares, dict) or not all(0 <= share <= 1 for share in shares.values()):
                raise ContractViolation(
                    f"predict gives the probabilities {shares!r:.100}",
                    f'of the kind "{task.kind}" reports and plots read "probabilities", {{class: p}}',
                )
    return given


def labels_survive_the_round_trip(case: TaskCase) -> None:
    """``decode`` gives labels that ``encode`` reads again as the same targets, and None where there is no label."""
    task = case.make()
    if len(task.columns) != 1:
        return
    rows = [*range(case.size), None]
    targets = case.targets(task, rows)
    decoded = task.decode(targets)
    if len(decoded) != len(rows):
        raise ContractViolation(f"decode gives {len(decoded)} labels of {len(rows)} samples", "one a sample, in order")
    if decoded[-1] is not None:
        raise ContractViolation(f"decode gives {decoded[-1]!r} for a sample without a label", "None where unlabelled")
    (column,) = task.columns
    for row, label in zip(rows[:-1], decoded[:-1], strict=True):
        cell = case.cells[row][column]
        if label is None:
            raise ContractViolation(f"decode gives None for the label {cell!r}", "implement decode: targets -> words")
        try:
            again = task.collate([task.encode({column: label}, case.prepared(task, row))])
        except DataError as error:
            raise ContractViolation(
                f"the label {cell!r} is decoded to {label!r}, which encode refuses: {error}", "the table's own words"
            ) from error
        seen = difference(case.targets(task, [row]), again)
        if seen:
            raise ContractViolation(
                f"the label {cell!r} is decoded to {label!r}, which encodes to other targets: {seen}",
                "encode and decode use different orders of the classes, or other units",
            )


def wrong_labels_raise(case: TaskCase) -> None:
    """A cell that is no label raises ``DataError``; the data layer adds file, row and column to it."""
    task = case.make()
    if not task.columns:
        return
    certain = task.kind in ("classification", "multilabel", "regression") or case.wrong is not None
    wrong = WRONG_CELL if case.wrong is None else case.wrong
    for column in task.columns:
        try:
            target = task.encode({**case.cells[0], column: wrong}, case.prepared(task, 0))
        except DataError:
            continue
        except Exception as error:
            raise ContractViolation(
                f"the cell {wrong!r} raises {type(error).__name__}: {error}",
                "DataError, with the value and what is known",
            ) from error
        if certain:
            raise ContractViolation(f"the cell {wrong!r} is encoded to {target!r}", "refuse it with DataError")


def predictions_are_the_labels_words(case: TaskCase) -> None:
    """A head that has learnt the samples by heart predicts their labels, in the words of ``decode``."""
    task = case.make().eval()
    if len(task.columns) != 1 or task.aligned_to:  # predictions are by token, labels by word
        return
    state, targets = case.state(task), case.all_targets(task)
    first, last = learn_by_heart(task, case)
    if task.kind not in ("classification", "multilabel", "regression") and last > LEARNT * first:
        return  # not learnt: nothing can be checked
    with torch.no_grad():
        given = [one["prediction"] for one in task.predict(state, task(state))]
    for row, (label, prediction) in enumerate(zip(task.decode(targets), given, strict=True)):
        if not same_label(label, prediction, task, targets):
            raise ContractViolation(
                f"after learning sample {row} by heart it predicts {prediction!r}, the label is {label!r}",
                "predict and decode use different orders of the classes or other units, or the loss has the wrong sign",
            )


def learn_by_heart(task: Task, case: TaskCase) -> tuple[float, float]:
    """Trains the head on all samples, in evaluation mode, at a falling rate; the mean loss before and after."""
    state, targets = case.state(task), case.all_targets(task)
    if task.fits_head:
        with torch.no_grad():
            task.fit_head(task(state), targets)
    parameters = [parameter for parameter in task.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, RATE) if parameters else None
    losses = []
    for step in range(STEPS if optimizer else 1):
        loss = task.loss(task(state, targets), targets).mean
        losses.append(float(loss.detach()))
        if optimizer:
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return losses[0], losses[-1]


def same_label(label: Any, prediction: Any, task: Task, targets: Tensors) -> bool:
    """Whether a prediction is a label: equal, or for numbers close to it on the scale of all labels."""
    if isinstance(label, float) and isinstance(prediction, (int, float)):
        numbers = [value for value in task.decode(targets) if isinstance(value, float)]
        span = max(numbers) - min(numbers)
        return math.isclose(label, prediction, rel_tol=0, abs_tol=CLOSE * (span or 1.0))
    if isinstance(label, (list, tuple)) and isinstance(prediction, (list, tuple)):
        return list(label) == list(prediction)
    return bool(label == prediction)


def travels_to_workers(case: TaskCase) -> None:
    """The copy that the loader's workers get is pickled without weights, and encodes and collates the same."""
    task = case.make()
    try:
        copy = pickle.loads(pickle.dumps(task.without_weights()))
    except Exception as error:
        raise ContractViolation(
            f"without_weights cannot be pickled: {error}",
            "a lambda, a local function, an open file: workers need a copy",
        ) from error
    try:
        there = case.all_targets(copy)
    except AttributeError as error:
        raise ContractViolation(
            f"in a worker it raises {error}",
            "encode and collate read a submodule or parameter, which workers do not have",
        ) from error
    torch.manual_seed(1)
    seen = difference(case.all_targets(task), there) or difference(there, case.all_targets(task))
    if seen:
        raise ContractViolation(f"encoded in a worker, {seen}", "encode draws at random without its argument draw")
