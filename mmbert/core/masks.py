"""The arithmetic of absence: means, maxima and softmaxes over what is really there.

In every mask True marks a real entry. What stands where a mask is False (zeros, garbage, NaN, infinity)
reaches neither a result nor a gradient, and a row without any True gives zeros, never NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def blank(values: Tensor, mask: Tensor) -> Tensor:
    """Zeros wherever ``mask`` is False.

    Args:
        values: (..., D) floats, or any shape that starts with the mask's shape.
        mask: (...) bool; it is broadcast over the trailing dimensions of ``values``.
    """
    while mask.ndim < values.ndim:
        mask = mask.unsqueeze(-1)
    # where, not multiplication: 0 * NaN is NaN
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens (B, L, D), mask (B, L) -> (B, D): the mean over real tokens, zeros where a row has none."""
    total = blank(tokens, mask).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1).to(tokens.dtype)


def masked_max(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens (B, L, D), mask (B, L) -> (B, D): the maximum over real tokens, zeros where a row has none."""
    lowest = torch.finfo(tokens.dtype).min
    highest = tokens.masked_fill(~mask.unsqueeze(-1), lowest).amax(1)
    return blank(highest, mask.any(1))


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """scores (..., N), mask (..., N) bool -> weights (..., N) that sum to 1 over real entries, or to 0 if none."""
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, lowest).softmax(-1)
    return blank(weights, mask)  # in a row without a real entry softmax is uniform; blanking makes it zeros
