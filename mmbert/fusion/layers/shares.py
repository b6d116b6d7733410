"""Shares (B, M), the diagnostics that give each modality's weight in a sample: a row sums to 1 or is zeros."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmbert.core.masks import blank


def attention_by_modality(weights: Tensor, lengths: Sequence[int]) -> Tensor:
    """weights (B, K) over tokens of all modalities side by side, of these lengths -> (B, M): their sums."""
    return torch.stack([part.sum(1) for part in weights.split(list(lengths), 1)], 1)


def shares_of(sizes: Tensor, present: Tensor) -> Tensor:
    """sizes (B, M) ≥ 0, present (B, M) -> (B, M): divided by their sum over the present; zeros where all are zero."""
    sizes = blank(sizes, present)
    return sizes / sizes.sum(1, keepdim=True).clamp(min=torch.finfo(sizes.dtype).tiny)
