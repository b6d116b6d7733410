"""``LengthLimit``: where an encoder cuts long inputs, and how long inputs are in the same unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LengthLimit:
    """What lies behind it is not read.

    Attributes:
        option: of the encoder, such as ``max_tokens``.
        most: its value.
        quantity: what is counted: ``tokens``, ``seconds``, ``length``; ``CellFacts.quantities`` may have it.
        measure: cells that are not empty and the table's folder -> the length of each, before it is cut; 0 where it
            cannot be read.
        ceiling: the most that the network takes.
    """

    option: str
    most: float
    quantity: str
    measure: Callable[[Sequence[Any], Path], list[float]]
    ceiling: float = math.inf

    @property
    def unit(self) -> str:
        """What messages call the quantity."""
        return "vectors" if self.quantity == "length" else self.quantity

    def advice(self, encoder: str) -> str:
        """What to do about inputs that are cut."""
        if self.most >= self.ceiling:
            return f"{self.most:g} is the most that this network takes"
        highest = f" (at most {self.ceiling:g})" if math.isfinite(self.ceiling) else ""
        return f"raise it with encoders.{encoder}.{self.option}=...{highest}"
