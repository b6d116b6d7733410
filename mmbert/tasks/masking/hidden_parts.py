"""What masked features hide of an input, and what of it the model is to tell: the parts that all kinds share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from mmbert.core.types import Inputs


@dataclass(frozen=True)
class HiddenParts:
    """A batch of one modality in which parts are hidden.

    Attributes:
        inputs: what the encoder reads.
        hidden: (B, L) bool, the tokens whose part is hidden and to be told; (B, L, G) where a token stands for G parts.
        vectors: (B, L, W) or (B, L, G, W) float32, what was hidden, 0 elsewhere.
    """

    inputs: Inputs
    hidden: Tensor
    vectors: Tensor


class InputParts(Protocol):
    """How a kind of input is cut into parts, one or several a token. It holds no tensors: workers carry it.

    Attributes:
        before: tokens that stand for no part, before those that do.
        per_token: G, parts that a token stands for.
        width: W, numbers of a part.
        squared: whether the loss is the squared error; else the absolute one.
        share: of the parts that is hidden where the user says nothing.
        span: so many neighbouring parts that are hidden together where the user says nothing.
    """

    before: int
    per_token: int
    width: int
    squared: bool
    share: float
    span: int

    def hide(
        self, inputs: Inputs, randoms: Sequence[np.random.Generator | None], share: float, span: int
    ) -> HiddenParts:
        """Hides parts of each of B samples.

        Args:
            inputs: what the encoder's processor collated; not edited.
            randoms: each sample's own random numbers; None = nothing of it is hidden.
            share: of its parts.
            span: neighbouring parts that are hidden together.
        """
        ...


def spans(length: int, share: float, span: int, random: np.random.Generator) -> np.ndarray:
    """(L,) bool: the places that are hidden, about ``share`` of them, in spans that may overlap.

    Args:
        length: L.
        share: of the places.
        span: places of one span; at the end of the sequence it is cut.
        random: how a fraction of a span is rounded, and where spans begin.
    """
    hidden = np.zeros(length, bool)
    count = int(share * length / span + random.random())
    for begin in random.permutation(length)[:count]:
        hidden[begin : begin + span] = True
    return hidden


def chosen_spans(
    real: np.ndarray, share: float, span: int, randoms: Sequence[np.random.Generator | None]
) -> np.ndarray:
    """real (B, L) bool, True up to each sample's end -> (B, L) bool, the places of ``spans`` in each sample."""
    chosen = np.zeros_like(real)
    for row, random in enumerate(randoms):
        length = int(real[row].sum())
        if random is not None and length:
            chosen[row, :length] = spans(length, share, span, random)
    return chosen


def widened(chosen: np.ndarray, margin: int) -> np.ndarray:
    """(B, L) bool -> the same, and so many places more on either side of each."""
    wide = chosen.copy()
    for step in range(1, margin + 1):
        wide[:, step:] |= chosen[:, :-step]
        wide[:, :-step] |= chosen[:, step:]
    return wide
