"""Metrics of masked language models: over all masked tokens of a split, whatever batches and processes they came in."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from mmbert.core.precision import exact_dtype


class TokenMean(Metric):
    """Base of means over tokens, summed in float64; a subclass says what is summed, and what is made of the mean."""

    is_differentiable = False
    full_state_update = False
    total: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        exact = exact_dtype(self.device)
        self.add_state("total", torch.zeros((), dtype=exact), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=exact), dist_reduce_fx="sum")

    def update(self, logits: Tensor, words: Tensor) -> None:
        """logits (N, V) float32, words (N,) int64; N may be 0."""
        self.total += self.of_each(logits, words).to(self.total.dtype).sum()
        self.tokens += len(words)

    def of_each(self, logits: Tensor, words: Tensor) -> Tensor:
        """(N,) what is summed."""
        raise NotImplementedError

    def compute(self) -> Tensor:
        """() float32, NaN without any token."""
        if not bool(self.tokens):
            return torch.tensor(math.nan, device=self.device)
        return self.of_mean(self.total / self.tokens).float()

    def of_mean(self, mean: Tensor) -> Tensor:
        """() what is made of the mean."""
        return mean


class TokenAccuracy(TokenMean):
    """Share of the masked tokens whose most probable word is the right one."""

    higher_is_better = True

    def of_each(self, logits: Tensor, words: Tensor) -> Tensor:
        """(N,) 1 where the answer is right."""
        return logits.argmax(-1) == words


class Perplexity(TokenMean):
    """exp of the mean negative log-probability of the masked tokens.

    torchmetrics' own takes the logarithm of rounded probabilities, which is infinite where one is below 1e-45.
    """

    higher_is_better = False

    def of_each(self, logits: Tensor, words: Tensor) -> Tensor:
        """(N,) negative log-probabilities."""
        return torch.nn.functional.cross_entropy(logits, words, reduction="none")

    def of_mean(self, mean: Tensor) -> Tensor:
        """exp of it."""
        return mean.exp()
