"""The base of metrics over generated texts: answers and references are kept as bytes, and scored all at once."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class TextPairs(Metric):
    """Scores all texts of a split together, as published numbers are; a subclass implements ``score``.

    The texts are kept as lines of JSON in ``uint8`` tensors, so that torchmetrics gathers them over processes.
    Subclasses share their state within a MetricCollection's compute group.

    Attributes:
        note: how the last value was computed; empty where the name says all.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    pairs: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("pairs", default=[], dist_reduce_fx="cat")
        self.note = ""

    def update(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> None:
        """Adds a batch; it may be empty.

        Args:
            answers: N generated texts.
            references: of each one or more.
        """
        lines = [json.dumps([answer, list(known)]) + "\n" for answer, known in zip(answers, references, strict=True)]
        content = bytearray("".join(lines).encode("ascii"))
        held = torch.frombuffer(content, dtype=torch.uint8) if content else torch.zeros(0, dtype=torch.uint8)
        self.pairs.append(held.to(self.device))

    def compute(self) -> Tensor:
        """() float32, NaN if no sample has a reference."""
        content = dim_zero_cat(self.pairs).cpu().numpy().tobytes() if len(self.pairs) else b""
        pairs = [json.loads(line) for line in content.decode("ascii").splitlines()]
        value = self.score([answer for answer, _ in pairs], [known for _, known in pairs]) if pairs else math.nan
        return torch.tensor(value, device=self.device, dtype=torch.float32)

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """N > 0 answers and the references of each."""
        raise NotImplementedError


def reference_streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References as sacrebleu takes them: as many lists as the most that a sample has; None where one has fewer."""
    most = max(map(len, references))
    return [[known[place] if place < len(known) else None for known in references] for place in range(most)]
