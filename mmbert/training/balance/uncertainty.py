"""Weights of task losses that follow each task's learnt uncertainty.

L = Σ_t w_t · (a_t · exp(-s_t) · L_t + b_t · s_t),   s_t = log σ_t² learnt with the model.
    Paper: Kendall, Gal & Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", arXiv:1705.07115. Each term is the negative log-likelihood of the labels under noise of scale σ_t,
    constants dropped:
        squared error     Gaussian of variance σ²: r²/2σ² + log σ       a = 1/2, b = 1/2   least at s = log L
        cross-entropy     softmax of logits / σ², the paper's (10)      a = 1,   b = 1/2   least at s = log 2L
        Huber             already ½r² near zero: a Gaussian's core      a = 1,   b = 1/2   least at s = log 2L
        absolute error    Laplace of scale σ²: |r|/σ² + log σ²          a = 1,   b = 1     least at s = log L
    Differs from the paper: Laplace for absolute errors, the fixed factor w_t (1 by default), and missing labels: a
    task for which nobody in the batch is labelled gives neither a loss nor a gradient to its s_t.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmbert.tasks.base import Task
from mmbert.training.balance.base import fixed_weights

#: (a, b) of the formula above, by the noise a task's loss assumes
COEFFICIENTS = {"gaussian": (0.5, 0.5), "categorical": (1.0, 0.5), "huber": (1.0, 0.5), "laplace": (1.0, 1.0)}


class UncertaintyBalance(nn.Module):
    """Weights that follow each task's learnt uncertainty.

    A task says by an attribute ``likelihood`` (a key of ``COEFFICIENTS``) which noise its loss assumes; without one
    its loss counts as a cross-entropy.

    Args:
        tasks: by name.

    Raises:
        ConfigError: a weight is negative or not finite, or all are 0.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.weights = fixed_weights(tasks)
        self.coefficients = {name: COEFFICIENTS[getattr(t, "likelihood", "categorical")] for name, t in tasks.items()}
        self.log_variances = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in tasks})  # s = 0: σ = 1

    def forward(
        self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total, and what to log.

        Args:
            losses: by task, means over what is labelled.
            counts: by task, how much that is.
            share: the factor on what does not depend on samples, the terms b_t · s_t.

        Logged: ``TASK/weight`` = w · a · exp(-s), the factor on the task's loss.
        """
        terms, logs = [], {}
        for name, loss in losses.items():
            a, b = self.coefficients[name]
            s = self.log_variances[name]
            factor = self.weights[name] * a * torch.exp(-s)
            # times 0 rather than left out: distributed training waits for a gradient of every parameter
            terms.append((factor * loss.float() + share * self.weights[name] * b * s) * float(counts[name] > 0))
            logs[f"{name}/weight"] = factor.detach()
        return torch.stack(terms).sum(), logs
