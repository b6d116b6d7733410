"""The texts that a generated one is compared with: from a table's cell to tensors and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import DataError
from mmbert.data.tables.cells import cell_excerpt, cell_text


def references_in(cell: Any) -> list[str]:
    """The references that a cell holds: one text, or several as a list (in a cell of text as JSON).

    Raises:
        DataError: it is no text, or one of the references is empty.
    """
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        cell = listed_texts(cell)
    if isinstance(cell, (list, tuple, np.ndarray)):
        if len(cell) == 0:
            raise DataError("the list of references is empty; leave the cell empty if there is no reference")
        texts = [reference_text(one) for one in cell]
    else:
        texts = [reference_text(cell)]
    return texts


def references_or_none(cell: Any) -> list[str]:
    """The references in a cell, none if it is not usable: which cell that is, is said when it is encoded."""
    try:
        return references_in(cell)
    except DataError:
        return []


def listed_texts(cell: str) -> Any:
    """A cell that begins with a bracket: the texts of a JSON list, or the cell itself, such as ``[laughs] yes``."""
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else cell


def reference_text(cell: Any) -> str:
    """One reference.

    Raises:
        DataError: it is empty, or no text.
    """
    if isinstance(cell, (Mapping, list, tuple, np.ndarray)):
        raise DataError(f"a reference must be a text, not {cell_excerpt(cell)}")
    text = "" if cell is None else cell_text(cell)
    if not text:
        raise DataError("a reference is empty; leave the whole cell empty if there is none")
    return text


def packed_texts(samples: Sequence[Sequence[str] | None]) -> Tensor:
    """References of B samples -> (B, N) uint8: JSON, filled up with zeros; zeros alone where there are none."""
    lines = [b"" if texts is None else json.dumps(list(texts)).encode("ascii") for texts in samples]
    longest = max(1, *map(len, lines))
    content = b"".join(line.ljust(longest, b"\0") for line in lines)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(len(lines), longest)


def unpacked_texts(packed: Tensor) -> list[list[str]]:
    """What ``packed_texts`` was given; an empty list where there are no references."""
    lines = [row.tobytes().rstrip(b"\0") for row in packed.cpu().numpy()]
    return [json.loads(line) if line else [] for line in lines]
