"""Hard negatives: for each sample another one of the batch, drawn in proportion to how near it is.

    P(j | i) = exp(s · a_i·b_j) / Σ_k exp(s · a_i·b_k)      over the k that may be taken

Paper: Li et al. 2021, "Align before Fuse", arXiv:2107.07651, section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hard_negatives(similar: Tensor, allowed: Tensor, draw: bool) -> tuple[Tensor, Tensor]:
    """Another sample for each.

    Args:
        similar: (B, N) float, s · a_i·b_j.
        allowed: (B, N) bool, which may be taken.
        draw: draw by the probabilities above, from torch's generator; else the nearest is taken.

    Returns:
        (B,) int64 which, 0 where there is none, and (B,) bool whether there is one.
    """
    found = allowed.any(1)
    lowest = torch.finfo(similar.dtype).min
    masked = similar.masked_fill(~allowed, lowest)
    if not draw:
        return torch.where(found, masked.argmax(1), 0), found
    # beside any that may be taken, e to the lowest number is exactly 0
    return torch.where(found, torch.multinomial(masked.softmax(1), 1).squeeze(1), 0), found
