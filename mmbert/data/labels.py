"""Label cells of a table become target tensors, and outputs become labels again."""

from __future__ import annotations

import json
import math
from typing import Any, Protocol

import torch
from torch import Tensor

from mmbert.core.errors import DataError, nearest
from mmbert.core.types import UNLABELLED

#: The largest target that is finite in float32.
LARGEST = torch.finfo(torch.float32).max


class LabelCodec(Protocol):
    """How one task's label column becomes targets."""

    def encode(self, cell: Any) -> Tensor:
        """One cell -> its target; None (an empty cell) -> the target that says *unlabelled*.

        Raises:
            DataError: the cell is no label of this task. The message says what is wrong with the value;
                the caller adds file, row and column.
        """
        ...

    def decode(self, target: Tensor) -> Any:
        """A target of one sample -> the label in the table's words, None where unlabelled."""
        ...


class ClassLabels:
    """One of C classes. Cells are compared as text, so 7 and "7" are the same class.

    Args:
        classes: the C names, in the order of the logits.
    """

    def __init__(self, classes: list[str]) -> None:
        self.classes = [str(name) for name in classes]
        self._index = {name: i for i, name in enumerate(self.classes)}

    def encode(self, cell: Any) -> Tensor:
        """Cell -> () int64, UNLABELLED if None."""
        if cell is None:
            return torch.tensor(UNLABELLED)
        name = class_name(cell)
        if name not in self._index:
            raise DataError(f"the label '{name}' is no class of the train split. {nearest(name, self.classes)}")
        return torch.tensor(self._index[name])

    def decode(self, target: Tensor) -> str | None:
        """() int64 -> class name."""
        index = int(target)
        return None if index == UNLABELLED else self.classes[index]


class MultiLabels:
    """Any number of C properties at once. A cell is a list, a JSON list, or words joined by ``separator``.

    An empty list (``[]``) says that none of the properties holds; an empty cell says that nobody labelled the sample.

    Args:
        classes: the C names, in the order of the logits.
        separator: what stands between the names in a plain text cell.
    """

    def __init__(self, classes: list[str], separator: str = "|") -> None:
        self.classes = [str(name) for name in classes]
        self.separator = separator

    def encode(self, cell: Any) -> Tensor:
        """Cell -> (C,) float of 0 and 1, NaN throughout if None."""
        if cell is None:
            return torch.full((len(self.classes),), math.nan)
        names = split_labels(cell, self.separator)
        unknown = [name for name in names if name not in self.classes]
        if unknown:
            hint = nearest(unknown[0], self.classes)
            raise DataError(f"the label '{unknown[0]}' never occurs in the train split. {hint}")
        return torch.tensor([float(name in names) for name in self.classes])

    def decode(self, target: Tensor) -> list[str] | None:
        """(C,) float -> the names that hold."""
        if bool(target.isnan().all()):
            return None
        return [name for name, value in zip(self.classes, target.tolist(), strict=True) if value > 0.5]


class NumberLabels:
    """A real number, kept in the table's own unit."""

    def encode(self, cell: Any) -> Tensor:
        """Cell -> () float32, NaN if None."""
        if cell is None:
            return torch.tensor(math.nan)
        return torch.tensor(as_number(cell))

    def check(self, cell: Any) -> None:
        """Raises as ``encode`` does, and is fast: a column of quantities has as many different cells as rows."""
        if cell is not None:
            as_number(cell)

    def decode(self, target: Tensor) -> float | None:
        """() float -> number."""
        value = float(target)
        return None if math.isnan(value) else value


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
