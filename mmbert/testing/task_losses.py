"""Laws of tasks: missing labels, padding, absence and how samples are batched change no loss and no metric."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from mmbert.core.types import State, Tensors
from mmbert.tasks.base import Task
from mmbert.testing.report import ContractViolation
from mmbert.testing.task_labels import predictions
from mmbert.testing.task_samples import TaskCase, labelled_task, loss_tensors, padded_state, state_rows
from mmbert.testing.tensors import TOLERANCE, check_finite, difference


def missing_labels_change_nothing(case: TaskCase) -> None:
    """Loss, metrics and gradients are those of the labelled samples alone, whatever the outputs of the others are."""
    cause = "the loss, the count or update takes unlabelled samples in: labelled(targets), and blank before arithmetic"
    task = case.make().eval()
    known = list(range(0, case.size, 2))
    alone = computed(task, state_rows(case.state(task), known), case.targets(task, known))
    rows = [row if row in known else None for row in range(case.size)]
    state, targets = case.state(task), case.targets(task, rows)
    for junk in (0.0, math.nan):
        seen = difference(alone, computed(task, state, targets, hide=~task.labelled(targets), junk=junk), TOLERANCE)
        if seen:
            outputs = "NaN as outputs" if junk else "outputs of 0"
            raise ContractViolation(f"with samples that have no label and {outputs}, {seen}", cause)


def computed(
    task: Task, state: State, targets: Tensors, hide: Tensor | None = None, junk: float = 0.0
) -> dict[str, Tensor]:
    """Loss, metrics and gradients of a batch, by name.

    Args:
        task: in evaluation mode.
        state: of B samples.
        targets: of the same.
        hide: (B,) bool, samples whose outputs are replaced.
        junk: by this.
    """
    task.zero_grad()
    loss = task.loss(hidden_outputs(task(state, targets), hide, junk), targets)
    if loss.total.requires_grad:
        loss.total.backward()
    with torch.no_grad():  # as metrics are measured: a task that generates does so without gradients alone
        outputs = hidden_outputs(task(state, targets), hide, junk)
    found = loss_tensors(loss) | metrics_of(task, [(outputs, targets)])
    return found | {f"the gradient of {n}": p.grad.clone() for n, p in task.named_parameters() if p.grad is not None}


def hidden_outputs(outputs: Tensors, hide: Tensor | None, junk: float) -> Tensors:
    """Outputs in which all numbers of some samples, ``hide`` (B,) bool, are replaced."""
    if hide is None:
        return outputs
    return {
        name: tensor.masked_fill(hide.view(-1, *[1] * (tensor.ndim - 1)), junk)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in outputs.items()
    }


def metrics_of(task: Task, batches: Sequence[tuple[Tensors, Tensors]]) -> dict[str, Tensor]:
    """The metrics over some batches."""
    metrics = task.make_metrics()
    with torch.no_grad():
        for outputs, targets in batches:
            task.update(metrics, {name: tensor.detach() for name, tensor in outputs.items()}, targets)
    return named_values(metrics.compute()) if len(metrics) else {}


def named_values(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Values of metrics by a name for messages, infinity in place of NaN, so that they can be compared."""
    tensors = {name: torch.as_tensor(value).float() for name, value in values.items()}
    return {f"metric {name}": torch.where(value.isnan(), math.inf, value) for name, value in tensors.items()}


def no_labels_give_zero(case: TaskCase) -> None:
    """A batch in which nobody is labelled gives a total of 0 with a graph and a count of 0; never NaN."""
    task = case.make().train()
    state, targets = case.state(task), case.targets(task, [None] * case.size)
    outputs = task(state, targets)
    loss = task.loss(outputs, targets)
    total, count, mean = (float(torch.as_tensor(value).detach()) for value in (loss.total, loss.count, loss.mean))
    if (total, count, mean) != (0, 0, 0):
        raise ContractViolation(
            f"with nobody labelled the total is {total}, the count {count}, the mean {mean}",
            "a mean over no sample is NaN: add up, and count what is labelled",
        )
    if any(parameter.requires_grad for parameter in task.parameters()):
        if not loss.total.requires_grad:
            raise ContractViolation(
                "with nobody labelled the total has no graph",
                "several processes wait for every gradient: multiply by 0 instead of returning a new zero",
            )
        task.zero_grad()
        loss.total.backward()
        gradients = {f"the gradient of {n}": p.grad for n, p in task.named_parameters() if p.grad is not None}
        check_finite(gradients, "0 · NaN is NaN: blank before arithmetic")
    try:
        task.update(task.make_metrics(), {name: tensor.detach() for name, tensor in outputs.items()}, targets)
    except Exception as error:
        raise ContractViolation(
            f"with nobody labelled, update raises {type(error).__name__}: {error}", "empty"
        ) from error


def padding_changes_nothing(case: TaskCase) -> None:
    """More padding in the sequences, and what stands in it, changes no loss, metric or prediction."""
    cause = "state.fused.masks or the labels' own ends are not looked at: masked_fill, masked_mean, ignore_index"
    task = case.make().eval()
    state, targets = case.state(task), case.all_targets(task)
    longer = padded_state(state, 3, 1e4)
    seen = difference(computed(task, state, targets), computed(task, longer, targets), TOLERANCE)
    if seen:
        raise ContractViolation(f"with three more places of padding, {seen}", cause)
    with torch.no_grad():
        before, after = task.predict(state, task(state)), task.predict(longer, task(longer))
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if not equal_predictions(old, new):
            raise ContractViolation(
                f"with three more places of padding sample {row} is predicted {new!r:.100}, was {old!r:.100}", cause
            )


def equal_predictions(first: Any, second: Any) -> bool:
    """Whether two predictions are equal, numbers up to rounding."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(equal_predictions(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(equal_predictions, first, second))
    if isinstance(first, float) and isinstance(second, (int, float)):
        return math.isclose(first, second, rel_tol=1e-4, abs_tol=1e-5) or (math.isnan(first) and math.isnan(second))
    return bool(first == second)


def absence_gives_finite_numbers(case: TaskCase) -> None:
    """With any modality missing in some samples, outputs, loss and gradients are finite, and there are predictions."""
    task = case.make().eval()
    names = list(case.dims)
    present = torch.ones(case.size, len(names), dtype=torch.bool)
    for row in range(case.size - 1):  # one lacks nothing, some all but one
        present[row, row % len(names)] = False
        if row >= len(names):
            present[row, (row + 1) % len(names)] = False
    state, targets = case.state(task, present), case.all_targets(task)
    check = "an empty sequence: a softmax or mean over no token (mmbert.core.masks), a maximum of nothing"
    try:
        check_finite({f"output '{name}'": x for name, x in task(state).items() if x.is_floating_point()}, check)
        check_finite(computed(task, state, targets), check)
        with torch.no_grad():
            given = task.predict(state, task(state))
    except (RuntimeError, IndexError, ValueError) as error:
        seen = f"with modalities missing it raises {type(error).__name__}: {error}"
        raise ContractViolation(seen, check) from error
    if len(given) != case.size:
        raise ContractViolation(f"with modalities missing there are {len(given)} predictions of {case.size}", check)


def samples_are_independent(case: TaskCase) -> None:
    """In evaluation mode outputs and predictions of a sample are the same alone and at any place of a batch."""
    cause = "statistics over the batch, or a sum that mixes samples"
    task = case.make().eval()
    state = case.state(task)
    with torch.no_grad():
        together = task(state)
        predicted = predictions(task, case)
        for rows in (*([row] for row in range(case.size)), list(reversed(range(case.size))), [0, 0]):
            some = state_rows(state, rows)
            outputs = task(some)
            given = task.predict(some, outputs)
            for place, row in enumerate(rows):
                here = "alone" if len(rows) == 1 else f"in a batch of the samples {rows}"
                old, new = ({name: x[i] for name, x in t.items()} for t, i in ((together, row), (outputs, place)))
                seen = difference(old, new, TOLERANCE)
                if not seen and not equal_predictions(predicted[row], given[place]):
                    seen = f"the prediction is {given[place]!r:.100}, was {predicted[row]!r:.100}"
                if seen:
                    raise ContractViolation(f"for sample {row} {here}, {seen}", cause)


def loss_adds_up(case: TaskCase) -> None:
    """Totals and counts of a batch's parts add up to those of the whole, labels padded to other lengths included."""
    task = case.make().eval()
    if not labelled_task(case):
        return
    state = case.state(task)
    whole = loss_tensors(task.loss(task(state, case.all_targets(task)), case.all_targets(task)))
    rows = list(range(case.size))
    for parts in ([rows[:1], rows[1:]], [[row] for row in rows], [rows[::-1]]):
        found = dict.fromkeys(whole, torch.zeros(()))
        for part in parts:
            targets = case.targets(task, part)
            loss = loss_tensors(task.loss(task(state_rows(state, part), targets), targets))
            found = {name: value + loss[name] for name, value in found.items()}
        seen = difference(whole, found, 10 * TOLERANCE)
        if seen:
            raise ContractViolation(
                f"in batches of {[len(part) for part in parts]} samples, added up, {seen}",
                "total is a mean, or is weighed by something of the batch: reduction='sum'",
            )


def metrics_do_not_depend_on_batches(case: TaskCase) -> None:
    """Metrics are the same of one batch, of single samples, and with unlabelled samples in between."""
    task = case.make().eval()
    state = case.state(task)
    rows = list(range(case.size))
    whole = metrics_of(task, [batch(task, case, state, rows)])
    for parts in ([[row] for row in rows], [rows[:3], rows[3:]], [rows[::-1]]):
        seen = difference(whole, metrics_of(task, [batch(task, case, state, part) for part in parts]), TOLERANCE)
        if seen:
            raise ContractViolation(
                f"in batches of {[len(part) for part in parts]} samples, {seen}",
                "a mean of batches' means: keep sums and counts, or all values, as the metric's state",
            )


def batch(task: Task, case: TaskCase, state: State, rows: Sequence[int]) -> tuple[Tensors, Tensors]:
    """Outputs and targets of some samples."""
    targets = case.targets(task, rows)
    with torch.no_grad():
        return task(state_rows(state, rows), targets), targets


def metrics_add_up_over_processes(case: TaskCase) -> None:
    """Metrics gathered from two processes are those of one, also where a process has seen no label.

    The two processes' states are gathered as torchmetrics gathers them, in this process.
    """
    task = case.make().eval()
    state = case.state(task)
    rows = list(range(case.size))
    whole = metrics_of(task, [batch(task, case, state, rows)])
    for here, there in ((rows[:3], rows[3:]), (rows, [])):
        first, second = (filled(task, case, state, part) for part in (here, there))
        found = {}
        for name, metric in first.items():
            sent: list[Tensor] = []
            asked: list[Tensor] = []
            second[name].sync(partial(exchanged, sent, []), distributed_available=several)
            metric.sync(partial(exchanged, asked, sent), distributed_available=several)
            if len(asked) != len(sent):
                raise ContractViolation(
                    f"metric {name}: one process sends {len(asked)} tensors, the other {len(sent)}: both would wait",
                    "add_state with dist_reduce_fx='cat' for lists, so that an empty one is sent too",
                )
            metric._to_sync = False  # it is synced
            found[name] = metric.compute()
        seen = difference(whole, named_values(found), TOLERANCE)
        if seen:
            raise ContractViolation(
                f"of two processes with {len(here)} and {len(there)} samples, {seen}",
                "a plain attribute, or a state without dist_reduce_fx ('sum', 'cat'), is not gathered: add_state",
            )


def exchanged(asked: list[Tensor], others: list[Tensor], tensor: Tensor, group: Any = None) -> list[Tensor]:
    """Stands for torchmetrics' gathering over processes: a state of this process, and the same of the other.

    Args:
        asked: to which the state is added.
        others: states of the other process in the order in which it sent them; fewer = it sends none.
        tensor: the state.
        group: of processes; not read.
    """
    asked.append(tensor.clone())
    return [tensor, others[len(asked) - 1]] if len(asked) <= len(others) else [tensor]


def filled(task: Task, case: TaskCase, state: State, rows: Sequence[int]) -> dict[str, Metric]:
    """Metrics that have seen some samples; of none, a batch in which nobody is labelled."""
    metrics = task.make_metrics()
    outputs, targets = batch(task, case, state, rows or [0])
    if not rows:
        targets = case.targets(task, [None])
    with torch.no_grad():
        task.update(metrics, outputs, targets)
    return {str(name): copy.deepcopy(metric) for name, metric in metrics.items()}


def several() -> bool:
    """That several processes are there."""
    return True
