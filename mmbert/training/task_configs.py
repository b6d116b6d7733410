"""Which tasks a config describes: their classes, their label columns, and what they learn from the labels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.init_args import find_class
from mmbert.data.datamodule import MultimodalData
from mmbert.data.labels import is_missing_word, na_option
from mmbert.tasks.base import Task
from mmbert.tasks.infer_kind import guess_task

DEFAULT_LABEL = "label"
#: Odd cells that a message names.
NAMED_CELLS = 5


def class_column(cfg: DictConfig) -> str | None:
    """The column that splits are stratified by, from the config of a run's tasks; see ``first_classes``."""
    configured = [part for part in cfg.tasks.values() if part]
    if not configured:
        return DEFAULT_LABEL
    named = [part for part in configured if part.get("column") and not OmegaConf.is_missing(part, "column")]
    return first_classes([(task_class(part).kind, part.column) for part in named])


def class_column_of(tasks: Mapping[str, Task]) -> str | None:
    """The same of built tasks, so that a saved model finds the splits that it was trained on."""
    return first_classes([(task.kind, column) for task in tasks.values() for column in task.columns])


def first_classes(tasks: Sequence[tuple[str, str]]) -> str | None:
    """Of tasks, each its kind and a column: the first classification's column, or the one called ``label``."""
    found = next((column for kind, column in tasks if kind == "classification"), None)
    return found or next((column for _, column in tasks if column == DEFAULT_LABEL), None)


def task_class(part: DictConfig) -> type[Task]:
    """The class that a task's config names.

    Raises:
        ConfigError: there is none, or it is no task.
    """
    try:
        found = find_class(part.get("_target_") or "")
    except Exception as error:  # whatever the module raises as it is imported
        raise ConfigError(f"{part.get('_target_')} cannot be found: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ConfigError(f"{part._target_} is no task: it must be a subclass of mmbert.tasks.base.Task.")
    return found


def all_tasks(cfg: DictConfig, data: MultimodalData) -> dict[str, DictConfig]:
    """The configured tasks; without any, one task on the column called ``label``.

    Raises:
        ConfigError: there is neither a task nor such a column.
        DataError: what the column holds does not say what the task is.
    """
    configured = {name: part for name, part in cfg.tasks.items() if part}
    if configured:
        for name, part in configured.items():
            if OmegaConf.is_missing(part, "column"):
                raise ConfigError(
                    f"The task '{name}' has no column. Say where its labels are: tasks.{name}.column=COLUMN. "
                    f"Columns: {', '.join(data.column_names)}."
                )
        return configured
    if not data.has_column(DEFAULT_LABEL):
        raise ConfigError(
            f"No task is configured and {data.path} has no column '{DEFAULT_LABEL}'. Add one, for example: "
            f"+task@tasks.mine=classification tasks.mine.column=COLUMN. Columns: {', '.join(data.column_names)}."
        )
    return {DEFAULT_LABEL: inferred_task(guessed_kind(data, DEFAULT_LABEL))}


def inferred_task(kind: str) -> DictConfig:
    """The config of a task of this kind on the column called ``label``, as a run has it that configures none."""
    text = resources.files("mmbert.conf").joinpath(f"task/{kind}.yaml").read_text(encoding="utf-8")
    part = OmegaConf.create(text)
    assert isinstance(part, DictConfig)
    part.column = DEFAULT_LABEL
    return part


def guessed_kind(data: MultimodalData, column: str) -> str:
    """The kind of task that a column of labels suggests; see ``guess_task``.

    Raises:
        DataError: the guess is not safe; names the odd cells, their rows, and the options that settle it.
    """
    guess = guess_task(data.cells(column))
    if not guess.odd:
        return guess.kind
    missing = [cell for cell in guess.odd if is_missing_word(cell)]
    remedies = [f"Or say what the labels are: +task@tasks.{column}=classification tasks.{column}.column={column}"]
    if len(missing) < len(guess.odd):
        remedies.insert(0, {"multilabel": 'Write ["one", "another"].', "regression": "Write 0.5 or 12."}[guess.kind])
    if missing:
        words = " or ".join(f"'{cell}'" for cell in missing[:NAMED_CELLS])
        remedies.insert(0, f"If {words} means that there is no label: {na_option(missing)}.")
    named = ", ".join(cell_and_rows(data, column, cell) for cell in guess.odd[:NAMED_CELLS])
    more = f" and {len(guess.odd) - NAMED_CELLS} others" if len(guess.odd) > NAMED_CELLS else ""
    raise DataError(f"{data.path}: the column '{column}' holds {guess.seen}: {named}{more}. {' '.join(remedies)}")


def cell_and_rows(data: MultimodalData, column: str, cell: Any) -> str:
    """``'NA' (3 rows, the first is row 7 (line 8))``: a cell of train, how often it occurs, and where."""
    rows = np.intersect1d(data.table.rows_where(column, cell), data.rows["train"])
    first = data.table.where(int(rows[0])).removeprefix(f"{data.path}, ")
    return f"'{cell}' ({first})" if len(rows) == 1 else f"'{cell}' ({len(rows):,} rows, the first is {first})"


def fit_labels(task_cfg: DictConfig, data: MultimodalData) -> dict[str, Any]:
    """What a task learns from the train split's labels, less what the config fixes.

    Raises:
        ConfigError: the column does not exist, or the target is no task.
        DataError: the labels are none for this task.
    """
    kind, column = task_class(task_cfg), task_cfg.get("column")
    if column is None:
        return {}
    if not data.has_column(column):
        raise ConfigError(f"{data.path} has no column '{column}'. {nearest(column, data.column_names)}")
    accepted = inspect.signature(kind.fit_labels).parameters
    options = {str(key): value for key, value in task_cfg.items() if key in accepted and key != "column"}
    cells = data.cells(column)
    # rows with other cells are named, or left out with their reason, once the task can say what it cannot read
    usable = [cell for cell in cells if cell is None or can_be_label(kind, cell)]
    if data.skip or any(cell is not None for cell in usable):
        cells = usable
    try:
        learned = kind.fit_labels(cells, column, **options)
    except DataError as error:
        raise DataError(f"{data.path}: {error}") from error
    return {key: value for key, value in learned.items() if task_cfg.get(key) is None}


def can_be_label(kind: type[Task], cell: Any) -> bool:
    """Whether a cell that is not empty can be a label of a kind of task."""
    try:
        kind.check_cell(cell)
    except DataError:
        return False
    return True


def given_arguments(
    part: DictConfig, out_dim: int, dims: Mapping[str, int], columns: Mapping[str, str]
) -> dict[str, Any]:
    """What a task is given of the run: ``in_dim``, and what else it asks for by the names of its arguments.

    Args:
        part: the task's config.
        out_dim: width of the fused vector.
        dims: width by modality, for ``dims``.
        columns: the table's column by modality, for ``input_columns``.
    """
    known = {"dims": dict(dims), "input_columns": dict(columns)}
    asked = inspect.signature(task_class(part).__init__).parameters
    return {"in_dim": out_dim} | {name: value for name, value in known.items() if name in asked}
