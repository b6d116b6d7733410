"""What the data layer asks of a task, and label cells of a table as text, lists and numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.types import Inputs, Tensors
from mmbert.data.modalities.processor import Aligned, Processor

#: The largest target that is finite in float32.
LARGEST = torch.finfo(torch.float32).max


class TargetEncoder(Protocol):
    """The part of ``mmbert.tasks.base.Task`` that makes targets of label cells; workers carry it without weights."""

    kind: ClassVar[str]
    columns: tuple[str, ...]
    aligned_to: tuple[str, ...]
    changes_inputs: tuple[str, ...]

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """One sample's label in the form that ``collate`` takes; None = unlabelled."""
        ...

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """What ``encode`` gave of each of B samples -> named tensors (B, ...)."""
        ...

    def decode(self, targets: Tensors) -> list[Any]:
        """Labels in the table's words, None where unlabelled."""
        ...

    def change_inputs(self, inputs: Mapping[str, Inputs], draws: Sequence[int]) -> tuple[dict[str, Inputs], Tensors]:
        """Changed inputs of the modalities ``changes_inputs``, and targets that follow from the change."""
        ...


def check_needs(processors: Mapping[str, Processor], tasks: Mapping[str, TargetEncoder]) -> None:
    """Refuses tasks that need what no encoder's preprocessing gives.

    Raises:
        ConfigError: names the task and the modality.
    """
    for name, task in tasks.items():
        for modality in (*task.aligned_to, *task.changes_inputs):
            if modality not in processors:
                raise ConfigError(f"tasks.{name} reads '{modality}', no encoder. {nearest(modality, processors)}")
        for modality in task.aligned_to:
            if not isinstance(processors[modality], Aligned):
                raise ConfigError(
                    f"tasks.{name} needs to know which token of '{modality}' is which word, but "
                    f"{type(processors[modality]).__name__} has no method alignment."
                )


def class_name(cell: Any) -> str:
    """A class cell as text: 7, 7.0 and "7" are one class (a column with empty cells turns integers into floats)."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def split_labels(cell: Any, separator: str = "|") -> list[str]:
    """A multilabel cell -> its names."""
    if isinstance(cell, (list, tuple)):
        return [class_name(value) for value in cell]
    text = str(cell).strip()
    if text.startswith("["):
        try:
            return [class_name(value) for value in json.loads(text)]
        except json.JSONDecodeError as error:
            raise DataError(f"'{text}' looks like a JSON list but is none: {error.msg}") from error
    return [part.strip() for part in text.split(separator) if part.strip()]


def as_number(cell: Any) -> float:
    """A numeric cell as a float that is finite in single precision.

    Raises:
        DataError: the cell is no such number.
    """
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= LARGEST:  # False for NaN too
        raise DataError(f"'{cell}' is no finite number")
    return value
