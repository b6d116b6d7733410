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

    def forward(
        self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total, and nothing to log.

        Args:
            losses: by task, means over what is labelled.
            counts: by task, how much that is.
            share: the factor on what does not depend on samples; here everything does.
        """
        return torch.stack([self.weights[name] * loss.float() for name, loss in losses.items()]).sum(), {}
