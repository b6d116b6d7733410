"""Dynamic weight average: tasks whose loss falls slowly weigh more.

    λ_t = K · softmax_t(r_t / T)     r_t = L_t(e - 1) / L_t(e - 2), mean losses of the last two epochs;  K tasks

Paper: Liu, Johns & Davison 2019, "End-to-End Multi-Task Learning with Attention", arXiv:1803.10704. In the first two
epochs all weights are 1. The mean of an epoch is over what is labelled, in all processes; torchjd's class, which gives
the same weights, averages the means of batches and keeps them where a checkpoint does not look. A task that had no
label in one of the two epochs counts as one whose loss stayed (r = 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.base import Balance, Balanced


class DWABalance(Balance):
    """The losses' sum, each times λ_t and its task's weight.

    Logged: ``TASK/weight`` = w_t · λ_t.

    Args:
        tasks: by name.
        temperature: T; larger = more alike.
    """

    older: Tensor
    newer: Tensor

    def __init__(self, tasks: Mapping[str, Task], temperature: Annotated[float, Range(above=0)] = 2.0) -> None:
        super().__init__(tasks)
        self.temperature = temperature
        for name in ("older", "newer"):
            self.register_buffer(name, torch.full((len(self.names),), math.nan))

    def factors(self) -> list[float]:
        """λ of each task."""
        if bool(self.older.isnan().all()):
            return [1.0] * len(self.names)
        rates = (self.newer / self.older).nan_to_num(1.0, posinf=1.0)
        return (len(self.names) * torch.softmax(rates / self.temperature, 0)).tolist()

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """The total, and what to log."""
        factors = {name: self.weights[name] * factor for name, factor in zip(self.names, self.factors(), strict=True)}
        total = torch.stack([factors[name] * loss.float() for name, loss in losses.items()]).sum()
        return total, {f"{name}/weight": total.new_tensor(factors[name]) for name in losses}

    def epoch_ended(self, means: Mapping[str, Tensor]) -> None:
        """Remembers the epoch's losses."""
        now = [float(means.get(f"{name}/loss", math.nan)) for name in self.names]
        self.older.copy_(self.newer)
        self.newer.copy_(torch.tensor(now))
