"""Sines and cosines that tell tokens their times or places."""

from __future__ import annotations

import torch
from torch import Tensor

#: Periods of the sines that tell times, in seconds, from the first to the last.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 1000.0


def time_signals(
    times: Tensor, dim: int, shortest: float = SHORTEST_SECONDS, longest: float = LONGEST_SECONDS
) -> Tensor:
    """Sines and cosines of times, as Vaswani et al. 2017 (arXiv:1706.03762) have them of positions.

    Args:
        times: (B, T) in seconds, or in another unit that is that of the periods too.
        dim: D.
        shortest: the first period.
        longest: the last one.

    Returns:
        (B, T, D); even places sines, odd ones cosines, periods in geometric progression.
    """
    half = (dim + 1) // 2
    steps = torch.arange(half, device=times.device, dtype=torch.float32) / max(1, half - 1)
    periods = shortest * (longest / shortest) ** steps
    angles = 2 * torch.pi * times.float().unsqueeze(-1) / periods
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :dim]
