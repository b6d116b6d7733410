"""Laws of tasks: what learns, modes, small batches, number formats, saving."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mmbert.core.types import State
from mmbert.tasks.base import Task
from mmbert.testing.hidden import hidden_tensors
from mmbert.testing.report import ContractViolation
from mmbert.testing.task_losses import equal_predictions
from mmbert.testing.task_samples import TaskCase, float_tensors, loss_tensors, state_rows
from mmbert.testing.tensors import BFLOAT16_TOLERANCE, check_finite, difference


def everything_learns(case: TaskCase) -> None:
    """Every parameter is registered and receives a gradient; no tensor hides in a list or an attribute."""
    task = case.make().train()
    for path, tensor in hidden_tensors(task, skip=("connected",)):
        kind = "is never trained" if tensor.requires_grad else "is neither moved to a GPU with the module nor saved"
        raise ContractViolation(
            f"{path}, a tensor of shape {tuple(tensor.shape)}, {kind}",
            "a tensor in a plain list, dictionary or attribute: use nn.ParameterList, nn.Parameter or register_buffer",
        )
    task.zero_grad()
    targets = case.all_targets(task)
    for seed in range(3):  # dropout and ReLU may block a parameter once
        total = task.loss(task(case.state(task, seed=seed), targets), targets).total
        if total.requires_grad:
            total.backward()
    for name, parameter in task.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not bool((parameter.grad != 0).any())):
            raise ContractViolation(
                f"the parameter {name} never receives a gradient",
                "it is not used, or the result is detached from it: several processes wait for it in vain",
            )


def evaluation_is_deterministic(case: TaskCase) -> None:
    """The same input gives the same outputs and predictions, twice, whatever the random state."""
    task = case.make().eval()
    state = case.state(task)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            outputs = task(state)
            found.append((outputs, task.predict(state, outputs)))
    cause = "dropout or sampling in evaluation mode: F.dropout needs training=self.training"
    seen = difference(found[0][0], found[1][0])
    if seen:
        raise ContractViolation(f"the second time, {seen}", cause)
    for row, (first, second) in enumerate(zip(found[0][1], found[1][1], strict=True)):
        if not equal_predictions(first, second):
            raise ContractViolation(
                f"the second time sample {row} is predicted {second!r:.100}, was {first!r:.100}", cause
            )


def labels_change_no_output(case: TaskCase) -> None:
    """An output that the head gives without labels is the same with them, whatever they are.

    Metrics are computed from the outputs: a head that reads the label would be measured on its own answer. A task with
    teacher forcing gives what it computes from labels under names that it gives only then.
    """
    task = case.make().eval()
    state = case.state(task)
    with torch.no_grad():
        free = task(state)
        for rows in (range(case.size), [*range(1, case.size), 0], [None] * case.size):
            forced = task(state, case.targets(task, list(rows)))
            shared = [name for name in free if name in forced]
            seen = difference({name: free[name] for name in shared}, {name: forced[name] for name in shared})
            if seen:
                raise ContractViolation(
                    f"given labels, {seen}",
                    "forward reads targets for more than teacher forcing: metrics would be too good",
                )


def inputs_are_left_alone(case: TaskCase) -> None:
    """State, targets, outputs and cells are not edited in place."""
    for training in (False, True):
        task = case.make().train(training)
        cells = copy.deepcopy(list(case.cells))
        state, targets = case.state(task), case.all_targets(task)
        outputs = {name: tensor.detach() for name, tensor in task(state, targets).items()}
        before = {f"targets['{n}']": t.clone() for n, t in targets.items()}
        before |= {f"outputs['{n}']": t.clone() for n, t in outputs.items()}
        before |= {name: tensor.clone() for name, tensor in state_tensors(state).items()}
        task.loss(outputs, targets)
        task.update(task.make_metrics(), outputs, targets)
        task.decode(targets)
        task.loss(task(state, targets), targets)
        with torch.no_grad():
            task.predict(state, outputs)
        after = {f"targets['{n}']": t for n, t in targets.items()}
        after |= {f"outputs['{n}']": t for n, t in outputs.items()} | state_tensors(state)
        for name, tensor in after.items():
            if not bool(((tensor == before[name]) | (tensor != tensor)).all()):
                raise ContractViolation(f"{name} is changed", "an operation in place: add_, *=, x[...] = ...")
        if cells != list(case.cells):
            raise ContractViolation("the label cells are changed", "encode edits the cell that it is given")


def state_tensors(state: State) -> dict[str, torch.Tensor]:
    """Every tensor that a head may read, by a name for messages."""
    named = {"fused.pooled": state.fused.pooled}
    named |= {f"fused.tokens['{name}']": tokens for name, tokens in state.fused.tokens.items()}
    for name, x in state.encoded.items():
        named |= {f"encoded['{name}'].tokens": x.tokens, f"encoded['{name}'].pooled": x.pooled}
    return named


def small_batches_work(case: TaskCase) -> None:
    """A batch of one sample works in training and evaluation, labelled or not."""
    for training in (True, False):
        for row in (0, None):
            task = case.make().train(training)
            mode, what = "training" if training else "evaluation", "unlabelled" if row is None else "labelled"
            where = f"in {mode}, a batch of one {what} sample"
            try:
                state, targets = state_rows(case.state(task), [0]), case.targets(task, [row])
                outputs = task(state, targets)
                loss = task.loss(outputs, targets).total
                if loss.requires_grad:
                    loss.backward()
                with torch.no_grad():
                    given = task.predict(state, task(state))
            except Exception as error:
                raise ContractViolation(
                    f"{where} raises {type(error).__name__}: {error}",
                    "squeeze() without a dimension, or batch statistics: both need more than one sample",
                ) from error
            if len(given) != 1:
                raise ContractViolation(f"{where} gives {len(given)} predictions", "squeeze() without a dimension")


def bfloat16_works(case: TaskCase) -> None:
    """Under autocast outputs are close to those of float32, the loss is float32, and gradients are finite."""
    task = case.make().eval()
    state, targets = case.state(task), case.all_targets(task)
    exact = {name: tensor.detach() for name, tensor in float_tensors(task(state, targets)).items()}
    cause = (
        "two formats meet where torch does not convert, or a sum in bfloat16: outputs.float() before loss and metrics"
    )
    try:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = task(state, targets)
            loss = task.loss(outputs, targets)
            predicted = task.predict(state, outputs)
        task.update(task.make_metrics(), {name: tensor.detach() for name, tensor in outputs.items()}, targets)
        task.zero_grad()
        if loss.total.requires_grad:
            loss.total.backward()
    except Exception as error:
        raise ContractViolation(f"under autocast it raises {type(error).__name__}: {error}", cause) from error
    if loss.total.dtype != torch.float32:
        raise ContractViolation(f"under autocast the total is {loss.total.dtype}", "a sum over an epoch needs float32")
    check_finite(loss_tensors(loss) | float_tensors(outputs), cause)
    check_finite({f"the gradient of {n}": p.grad for n, p in task.named_parameters() if p.grad is not None}, cause)
    json.dumps(predicted)
    for name, tensor in exact.items():
        largest = float(tensor.abs().max())
        off = float((outputs[name].detach().float() - tensor).abs().mean()) / (largest or 1.0)
        if off > BFLOAT16_TOLERANCE:
            raise ContractViolation(f"under autocast '{name}' is off by {off:.2g} of its largest value", cause)


def saved_and_rebuilt_is_equal(case: TaskCase) -> None:
    """``init_args``, the files of ``save_assets`` and the state dict rebuild the task, tuned if it tunes."""
    first = case.make().train()
    targets = case.all_targets(first)
    total = first.loss(first(case.state(first), targets), targets).total
    if total.requires_grad:
        total.backward()
    with torch.no_grad():
        for parameter in first.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)
    first.eval()
    if first.fits_head:
        with torch.no_grad():
            first.fit_head(first(case.state(first)), targets)
    if first.tunes:
        tune_on_all(first, case)
    with TemporaryDirectory() as folder:
        rebuilt_is_equal(case, first, Path(folder))


def rebuilt_is_equal(case: TaskCase, first: Task, folder: Path) -> None:
    """As ``saved_and_rebuilt_is_equal``, of a task that has learnt, with a folder for its files."""
    first.save_assets(folder)
    try:
        arguments = json.loads(json.dumps(first.init_args))
    except TypeError as error:
        raise ContractViolation(
            f"an argument of __init__ is no plain value: {error}",
            "take numbers, strings, lists and dictionaries, and build the rest inside",
        ) from error
    state, targets, kind = case.state(first), case.all_targets(first), type(first)
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            again = kind(**kind.rebuild_args(arguments, folder)).eval()
        if case.encoders:
            again.connect(case.encoders)
        again.load_state_dict(first.state_dict())
        there = case.all_targets(again)
        with torch.no_grad():
            old, new = first(state), again(state)
            seen = difference(old, new)
            if not seen and not equal_predictions(first.predict(state, old), again.predict(state, new)):
                seen = "predictions differ"
        seen = seen or next((f"targets['{n}'] differ" for n, t in targets.items() if not same_numbers(t, there[n])), "")
        if seen:
            cause = "something drawn or learnt when built that is no argument, parameter or buffer"
            raise ContractViolation(f"saved and rebuilt, {seen}", cause)


def tune_on_all(task: Task, case: TaskCase) -> None:
    """Lets the task choose on all samples, as training does on those of the validation split.

    Raises:
        ContractViolation: it does not choose on every sample, or JSON cannot hold what it chose.
    """
    state, targets = case.state(task), case.all_targets(task)
    with torch.no_grad():
        entries = task.tuning_data(state, task(state, targets), targets)
    if len(entries) != case.size:
        raise ContractViolation(
            f"tuning_data gives {len(entries)} entries for {case.size} samples", "give one a sample, None = unlabelled"
        )
    chosen = task.tune([entry for entry in entries if entry is not None])
    try:
        json.dumps(chosen)
    except TypeError as error:
        raise ContractViolation(f"tune returns what JSON cannot hold: {error}", "return plain numbers") from error


def same_numbers(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are equal to the bit, NaN included."""
    return first.shape == second.shape and bool(((first == second) | ((first != first) & (second != second))).all())
