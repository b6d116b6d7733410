"""Means over an epoch of what every step gives: each labelled sample counts once, whichever process saw it."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from mmbert.core.precision import exact_dtype


class EpochMeans:
    """Weighted means by name, summed in float64.

    Every process must add the same names, be it with weight 0: ``compute`` adds the processes' sums up.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor, weight: float) -> None:
        """One step's scalar, that stands for so many samples; with weight 0 the value does not matter."""
        exact = exact_dtype(value.device)
        pair = value.detach().new_tensor([0.0, weight], dtype=exact)
        if weight:
            pair[0] = value.detach().to(exact) * weight
        self.sums[name] = self.sums[name] + pair if name in self.sums else pair

    def compute(self) -> dict[str, Tensor]:
        """The means over all processes, by name; what nobody gave a weight to is left out. Forgets everything."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        totals = torch.stack([self.sums[name] for name in names])  # (names, 2)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(totals)
        self.sums = {}
        return {name: (total / weight).float() for name, (total, weight) in zip(names, totals, strict=True) if weight}

    def state_dict(self) -> dict[str, Tensor]:
        """This process's sums and weights, (2,) by name."""
        return {name: pair.cpu() for name, pair in self.sums.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from such sums."""
        self.sums = dict(state)
