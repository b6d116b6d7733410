"""The sum of the tasks' losses, each times its option ``weight``: L = Σ_t w_t · L_t."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmbert.tasks.base import Task
from mmbert.training.balance.base import fixed_weights


class FixedBalance(nn.Module):
    """Sum of the losses, each times its task's ``weight``.

    Args:
        tasks: by name.

    Raises:
        ConfigError: a weight is negative or not finite, or all are 0.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.weights = fixed_weights(tasks)

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean losses by task, and over how much each was taken -> the total; nothing to log."""
        return torch.stack([self.weights[name] * loss.float() for name, loss in losses.items()]).sum(), {}
