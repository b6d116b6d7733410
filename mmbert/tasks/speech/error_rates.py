"""Word and character error rates over a whole split, counted by jiwer and added up over batches and processes.

    rate = (substitutions + deletions + insertions) / words (or characters) of the references

jiwer 4 changes neither letters nor white space, and of an empty reference it gives a count. So texts come here in one
form (``TranscriptForm``), white space is joined, errors are pooled before they are divided, and a split without a
single word has no rate (NaN). Words that are said where the reference is empty count as insertions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection


class ErrorRate(Metric):
    """Errors by words or characters; lower is better, and it may exceed 1.

    Args:
        unit: ``word``, or ``character``, blanks between words among them.
        hypotheses: which of the hypotheses ``update`` is given are measured, by name.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    errors: Tensor
    size: Tensor

    def __init__(self, unit: Literal["word", "character"], hypotheses: str = "greedy") -> None:
        super().__init__()
        self.unit, self.hypotheses = unit, hypotheses
        self.add_state("errors", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("size", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, references: Sequence[str], hypotheses: dict[str, Sequence[str]]) -> None:
        """Adds texts, as many hypotheses as references; hypotheses that were not sought are left out."""
        given = hypotheses.get(self.hypotheses)
        if given is None or not references:
            return
        errors, size = error_counts(references, given, self.unit)
        self.errors = self.errors + errors
        self.size = self.size + size

    def compute(self) -> Tensor:
        """() float32; NaN if the references hold no word at all."""
        if not int(self.size):
            return torch.tensor(math.nan, device=self.size.device)
        return self.errors.double().div(self.size).float()


def error_rates(searches: Mapping[str, str], by_word: bool) -> MetricCollection:
    """Of each search ``wer`` and ``cer``.

    Args:
        searches: names of hypotheses, by what is added to the metrics' names.
        by_word: whether there are words to be counted; else ``cer`` alone.
    """
    metrics: dict[str, Any] = {}
    for ending, name in searches.items():
        if by_word:
            metrics[f"wer{ending}"] = ErrorRate("word", name)
        metrics[f"cer{ending}"] = ErrorRate("character", name)
    return MetricCollection(metrics, compute_groups=[[name] for name in metrics])


def error_counts(
    references: Sequence[str], hypotheses: Sequence[str], unit: Literal["word", "character"]
) -> tuple[int, int]:
    """Errors, and words or characters of the references, of all pairs together."""
    import jiwer

    count = jiwer.process_words if unit == "word" else jiwer.process_characters
    found = count([joined_words(text) for text in references], [joined_words(text) for text in hypotheses])
    missed = found.substitutions + found.deletions
    return missed + found.insertions, found.hits + missed


def joined_words(text: str) -> str:
    """White space of any kind as one blank, none at the ends."""
    return " ".join(text.split())
