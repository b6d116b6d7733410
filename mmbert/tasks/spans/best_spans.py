"""Stretches of tokens: those that an answer covers, and the best of those that a head scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.tasks.spans.units import with_marks

#: Score of a stretch that cannot be.
IMPOSSIBLE = -1e30


def token_extents(alignment: Mapping[str, Any], seconds: bool) -> np.ndarray:
    """(L, 2) float64: where each token begins and ends, in characters or seconds; -1 and -1 for special tokens.

    Args:
        alignment: see ``Task.encode``.
        seconds: whether the tokens are moments of a sound.
    """
    if seconds:
        return np.asarray(alignment["times"]).astype(np.float64)
    extents = np.asarray(alignment["offsets"]).astype(np.float64)
    special = (np.asarray(alignment["word_ids"]) < 0) | (extents[:, 1] <= extents[:, 0])
    extents[special] = -1
    return extents


def covering_tokens(extents: np.ndarray, begin: float, end: float, reach: float) -> tuple[int, int] | None:
    """The first and the last token of a stretch; None if the tokens do not reach to its end.

    Args:
        extents: (L, 2), see ``token_extents``.
        begin: of the stretch.
        end: of the stretch.
        reach: how far the tokens reach, marks that belong to the last one's letter included.
    """
    touched = np.flatnonzero((extents[:, 0] < end) & (extents[:, 1] > begin) & (extents[:, 0] >= 0))
    if not len(touched) or reach < end:
        return None
    return int(touched[0]), int(touched[-1])


def best_spans(start: Tensor, end: Tensor, valid: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """The stretch with the highest start + end of each sample.

    Args:
        start: (B, L) scores of beginning at a token.
        end: (B, L) scores of ending with it.
        valid: (B, L) bool, tokens that may begin or end an answer.
        longest: tokens of the longest answer.

    Returns:
        scores (B,), IMPOSSIBLE where no token is valid; first and last token (B,) int64. Of equal ones the earliest.
    """
    start, end = (torch.where(valid, scores, IMPOSSIBLE) for scores in (start, end))
    size, length = start.shape
    width = min(longest, length)
    reach = F.pad(end, (0, width - 1), value=IMPOSSIBLE).unfold(1, width, 1)  # (B, L, width): ends from each start on
    best, offset = reach.max(-1)  # (B, L)
    total, first = (start + best).max(-1)
    last = first + offset.gather(1, first.unsqueeze(1)).squeeze(1)
    return total.clamp(min=IMPOSSIBLE), first, last


def text_extent(text: str, begin: int, end: int) -> tuple[int, int]:
    """A stretch of tokens without the blanks that a token may begin with, and with the marks of its last letter."""
    end = with_marks(text, end)
    while begin < end and text[begin].isspace():
        begin += 1
    return begin, end
