"""What the data layer asks of a task, and label cells of a table as text, lists and numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.types import Inputs, Tensors
from mmbert.data.modalities.processor import Aligned, Processor
from mmbert.data.tables.cells import cell_excerpt, cell_text, is_empty
from mmbert.data.tables.written_lists import written_list

#: Words for a missing value, in small letters: those of pandas, and signs. The second are names of classes elsewhere.
MISSING_WORDS = {"na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "null", "-", "--", "?", "."}
MISSING_BESIDE_NUMBERS = {"none", "nil", "missing", "unknown", "undefined"}
#: A number with a decimal comma, thousands set apart, a percent sign or a currency.
DECORATED_NUMBER = re.compile(
    r"[+\-−]?\s?[$€£¥]?\s?[+\-−]?(?:[0-9]{1,3}(?:[,.' \u00a0\u2009\u202f][0-9]{3})+|[0-9]+)(?:[.,][0-9]+)?\s?[%‰$€£¥]?"
)
#: The largest target that is finite in float32.
LARGEST = torch.finfo(torch.float32).max


Collating = TypeVar("Collating", bound=Callable[..., Tensors])


def by_rows(collate: Collating) -> Collating:
    """Marks a task's ``collate`` whose rows follow from a sample's target each, whichever stand beside it."""
    collate.by_rows = True  # type: ignore[attr-defined]
    return collate


def collates_by_rows(task: TargetEncoder) -> bool:
    """Whether rows of a task's collated targets may be put together anew; a ``collate`` of one's own is not marked."""
    return getattr(task.collate, "by_rows", False) is True


class TargetEncoder(Protocol):
    """The part of ``mmbert.tasks.base.Task`` that makes targets of label cells; workers carry it without weights."""

    kind: ClassVar[str]
    columns: tuple[str, ...]
    aligned_to: tuple[str, ...]
    aligned_kinds: tuple[str, ...]
    changes_inputs: tuple[str, ...]

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """One sample's label in the form that ``collate`` takes; None = unlabelled."""
        ...

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """Raises DataError where a label that belongs to a raw input cannot be used."""
        ...

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """What ``encode`` gave of each of B samples -> named tensors (B, ...)."""
        ...

    def decode(self, targets: Tensors) -> list[Any]:
        """Labels in the table's words, None where unlabelled."""
        ...

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Changed inputs of the modalities ``changes_inputs``, and targets that follow from the change."""
        ...


def check_needs(processors: Mapping[str, Processor], tasks: Mapping[str, TargetEncoder]) -> None:
    """Refuses tasks that need what no encoder's preprocessing gives, and two that change the same modality.

    Raises:
        ConfigError: names the task and the modality.
    """
    changed_by: dict[str, str] = {}
    for name, task in tasks.items():
        for modality in task.changes_inputs:
            if (other := changed_by.setdefault(modality, name)) != name:
                raise ConfigError(
                    f"tasks.{other} and tasks.{name} both change what '{modality}' reads, so that the answers of the "
                    "first would be wrong: let one of them change another modality, or leave one out."
                )
        for modality in (*task.aligned_to, *task.changes_inputs):
            if modality not in processors:
                raise ConfigError(f"tasks.{name} reads '{modality}', no encoder. {nearest(modality, processors)}")
        for modality in task.aligned_to:
            processor = processors[modality]
            if not isinstance(processor, Aligned):
                raise ConfigError(
                    f"tasks.{name} needs to know which token of '{modality}' is which word or moment, but "
                    f"{type(processor).__name__} has no method alignment."
                )
            if processor.kind not in task.aligned_kinds:
                raise ConfigError(
                    f"tasks.{name} has labels of parts of {' or '.join(task.aligned_kinds)}, but '{modality}' is "
                    f"{processor.kind}."
                )


def split_labels(cell: Any, separator: str = "|") -> list[str]:
    """A multilabel cell -> its names, empty ones left out.

    Raises:
        DataError: the cell looks like a list but is none, or holds more than names and numbers.
    """
    values = list(cell) if isinstance(cell, (list, tuple)) else [cell]
    if isinstance(cell, str):
        found, text = written_list(cell), cell.strip()
        if found is None and text.startswith("["):
            raise DataError(f'\'{cell_excerpt(text)}\' looks like a list but is none; write ["one name", "another"]')
        values = text.split(separator) if found is None else found
    if any(isinstance(value, (list, tuple, dict)) for value in values):
        raise DataError(f"'{cell_excerpt(cell)}' holds lists; a list of names is wanted")
    return [cell_text(value) for value in values if not is_empty(value)]


def finite_number(cell: Any) -> float | None:
    """The cell as a finite number, None if it is none ("nan" and "inf" are words here, and so is "1_000")."""
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) and not (isinstance(cell, str) and "_" in cell) else None


def is_decorated_number(cell: Any) -> bool:
    """Whether a cell is a number to a person alone: ``0,5``, ``10%``, ``1,234.50``, ``5 €``, ``−3`` (no hyphen)."""
    return (
        isinstance(cell, str) and finite_number(cell) is None and DECORATED_NUMBER.fullmatch(cell.strip()) is not None
    )


def is_missing_word(cell: Any, beside_numbers: bool = True) -> bool:
    """Whether a cell is a word that elsewhere often says that a value is missing.

    Args:
        cell: a cell that is not empty.
        beside_numbers: whether the other cells are numbers; among words ``none`` may well be a class.
    """
    word = str(cell).strip().lower()
    return word in MISSING_WORDS or beside_numbers and word in MISSING_BESIDE_NUMBERS


def na_option(words: Sequence[Any]) -> str:
    """How to say on the command line that words are empty cells."""
    if all(str(word).isalnum() for word in words):
        return f"data.na_values=[{','.join(map(str, words))}]"
    return f"'data.na_values={json.dumps([str(word) for word in words], ensure_ascii=False)}'"


def missing_hint(cell: Any) -> str:
    """What a message on a label adds where the label may be a word for a missing one; empty for other labels."""
    word = str(cell).strip()
    return f"; if it means that there is no label: {na_option([word])}" if is_missing_word(word) else ""


def as_number(cell: Any) -> float:
    """A numeric cell as a float that is finite in single precision.

    Raises:
        DataError: the cell is no such number.
    """
    value = finite_number(cell)
    if value is None or not abs(value) <= LARGEST:
        hint = "; write it with a decimal point and without signs" if is_decorated_number(cell) else missing_hint(cell)
        raise DataError(f"'{cell_excerpt(cell)}' is no finite number{hint}")
    return value
