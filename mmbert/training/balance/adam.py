"""Adam for the few numbers of a balance that no gradient of the model's loss teaches; checkpoints keep its state."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Decay of the running means, and what is added to the denominator, as in the paper.
BETAS, EPSILON = (0.9, 0.999), 1e-8


class TaughtNumbers(nn.Module):
    """One number for each of T tasks, with Adam's running means (Kingma & Ba 2015, arXiv:1412.6980), as buffers.

    A task that a step says nothing of keeps its number and its running means.

    Args:
        start: (T,) the first values.
        lr: learning rate.
        weight_decay: added to the gradient, times the value.
    """

    value: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, start: Tensor, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.lr, self.weight_decay = lr, weight_decay
        self.register_buffer("value", start.clone())
        for name in ("mean", "square", "steps"):
            self.register_buffer(name, torch.zeros_like(start))

    def step(self, gradient: Tensor, known: Tensor) -> None:
        """Moves the values.

        Args:
            gradient: (T,).
            known: (T,) bool, the tasks that it speaks of.
        """
        place = known.to(self.value.device).nonzero().flatten()
        full = (gradient.to(self.value) + self.weight_decay * self.value)[place]
        self.steps[place] += 1
        self.mean[place] = BETAS[0] * self.mean[place] + (1 - BETAS[0]) * full
        self.square[place] = BETAS[1] * self.square[place] + (1 - BETAS[1]) * full.square()
        steps = self.steps[place]
        size = (self.square[place] / (1 - torch.exp(steps * math.log(BETAS[1])))).sqrt() + EPSILON
        self.value[place] -= self.lr * self.mean[place] / (1 - torch.exp(steps * math.log(BETAS[0]))) / size
