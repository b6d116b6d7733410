"""``check_task``: does a task keep the contract?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from mmbert.encoders.base import Encoder
from mmbert.tasks.base import Task
from mmbert.testing import task_conventions as conventions
from mmbert.testing import task_labels as labels
from mmbert.testing import task_losses as losses
from mmbert.testing.laws import BUILT, Law, check_laws, chosen_laws
from mmbert.testing.report import Report
from mmbert.testing.task_samples import IN_DIM, TASK_DIMS, TaskCase, cells_of, made_up_encoders, texts_of

COLUMN = "label"
LAWS: dict[str, Law[TaskCase]] = {
    BUILT: labels.can_be_built,
    "shapes": labels.shapes_are_right,
    "labels survive the round trip": labels.labels_survive_the_round_trip,
    "wrong labels raise DataError": labels.wrong_labels_raise,
    "missing labels change nothing": losses.missing_labels_change_nothing,
    "no labels give 0": losses.no_labels_give_zero,
    "padding changes nothing": losses.padding_changes_nothing,
    "absence gives finite numbers": losses.absence_gives_finite_numbers,
    "samples are independent": losses.samples_are_independent,
    "the loss adds up over batches": losses.loss_adds_up,
    "metrics do not depend on batches": losses.metrics_do_not_depend_on_batches,
    "metrics add up over processes": losses.metrics_add_up_over_processes,
    "predictions are the labels' words": labels.predictions_are_the_labels_words,
    "everything learns": conventions.everything_learns,
    "deterministic in evaluation": conventions.evaluation_is_deterministic,
    "labels change no output": conventions.labels_change_no_output,
    "inputs are left alone": conventions.inputs_are_left_alone,
    "small batches work": conventions.small_batches_work,
    "bfloat16 works": conventions.bfloat16_works,
    "saved and rebuilt is equal": conventions.saved_and_rebuilt_is_equal,
    "the task travels to workers": labels.travels_to_workers,
}


def check_task(
    task: Task | type[Task] | Callable[..., Task],
    cells: Sequence[Any] | None = None,
    texts: Sequence[str] | None = None,
    dims: Mapping[str, int] | None = None,
    wrong: Any = None,
    raise_on_failure: bool = True,
    only: Collection[str] | None = None,
    encoders: Mapping[str, Encoder] | None = None,
    **options: Any,
) -> Report:
    """Holds a task to every law, on random fused inputs and the label cells given.

    Args:
        task: the class, a function with its arguments, or a built task, which is built anew as it was built.
        cells: at least four labels as they stand in a table, all of them valid, better eight and of different lengths;
            of a task with several columns dictionaries. None = made-up ones for classification, multilabel and
            regression; a task without columns needs none.
        texts: one text a sample, for labels that belong to its words (``Task.aligned_to``); None = made-up ones.
        dims: width by modality; None = text, image and audio.
        wrong: a cell that is no label; None = a made-up one.
        raise_on_failure: raise rather than only report.
        only: names of the laws to check, after ``can be built``; None = all.
        encoders: by name, for a task that changes inputs; None = a tiny BERT called ``text`` and ready features for
            every other modality.
        **options: arguments of the task; those that ``fit_labels`` gives need not be there.

    Returns:
        Which laws are kept; for those that are not, a counter-example and a likely cause. Of a task that cannot be
        built, this alone.

    Raises:
        ContractError: a law is broken.
        InputError: ``only`` names a law that there is not, or cells and texts do not fit together.
    """
    kind: Any = task
    if isinstance(task, Task):
        kind, options = type(task), {**task.init_args, **options}
    column = options.get("column") or COLUMN
    rows = cells_of(kind, cells, column)
    widths = dict(dims or options.get("dims") or TASK_DIMS)
    connected = dict(encoders or (made_up_encoders(widths) if changes_inputs(kind) else {}))
    widths |= {name: encoder.out_dim for name, encoder in connected.items()}

    def build(**more: Any) -> Task:
        return kind(**task_arguments(kind, rows, column, widths, {**options, **more}))  # type: ignore[no-any-return]

    case = TaskCase(build, rows, texts_of(texts, len(rows)), widths, wrong, connected)
    name = getattr(kind, "__qualname__", repr(kind))
    return check_laws(name, chosen_laws(LAWS, only), lambda law: [("", case)], raise_on_failure)


def changes_inputs(kind: Any) -> bool:
    """Whether a task says how it changes inputs."""
    return isinstance(kind, type) and issubclass(kind, Task) and kind.change_inputs is not Task.change_inputs


def task_arguments(
    kind: Callable[..., Task],
    rows: Sequence[Mapping[str, Any]],
    column: str,
    dims: Mapping[str, int],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """What training would build a task with: the fused width, the column, what its labels teach, and its options.

    Args:
        kind: the class, or a function.
        rows: cells by column.
        column: the name of the label column, where the task takes one.
        dims: width by modality, for a task that asks for them.
        given: options of the user; None where something is to be learnt.
    """
    parameters = inspect.signature(kind).parameters
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    arguments: dict[str, Any] = {"in_dim": IN_DIM}
    if "dims" in parameters:
        arguments["dims"] = dict(dims)
    if column in rows[0] and ("column" in parameters or anything):
        arguments["column"] = column
        if hasattr(kind, "fit_labels"):
            accepted = inspect.signature(kind.fit_labels).parameters
            taught = {name: value for name, value in given.items() if name in accepted and name != "column"}
            learnt = kind.fit_labels([row[column] for row in rows], column, **taught)
            arguments |= {name: value for name, value in learnt.items() if given.get(name) is None}
    known = {name: value for name, value in given.items() if name not in arguments or value is not None}
    return {**arguments, **known}
