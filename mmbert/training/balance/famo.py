"""Fast adaptive multitask optimisation: all losses shall fall at the same relative rate, by the losses' values alone.

    total = c Σ_t z_t log L_t     z = softmax(x),  c = 1 / Σ_t (z_t / L_t) as a constant
    x ← Adam(x, the gradient of Σ_t z_t δ_t),   δ_t = log L_t before the step - log L_t after it, on the same batches

Paper: Liu et al. 2023, "FAMO: Fast Adaptive Multitask Optimization", arXiv:2306.03792, algorithm 2; checked against
torchjd's class, whose optimiser is not part of a checkpoint. The losses after the step cost one more forward pass of
the step's batches; it draws the same dropout masks as the first. Tasks without a label in a step keep their x.
L_t is w_t times the task's loss, over all processes; with ``trainer.accumulate_grad_batches`` c and the factors are
those of each batch, δ that of the whole step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.adam import TaughtNumbers
from mmbert.training.balance.base import Balance, Balanced, StepLosses, means_of_processes, refuse_negative

#: Added to losses before their logarithm.
TINY = 1e-8


class FAMOBalance(Balance):
    """The losses' weighted logarithms, the weights learnt from how much each loss fell.

    Logged: ``TASK/weight`` = c z_t / L_t, the factor on the task's loss.

    Args:
        tasks: by name.
        lr: of x.
        weight_decay: of x.
    """

    measures_again: ClassVar[bool] = True
    blends: ClassVar[bool] = False

    def __init__(
        self,
        tasks: Mapping[str, Task],
        lr: Annotated[float, Range(above=0)] = 0.025,
        weight_decay: Annotated[float, Range(0)] = 1e-3,
    ) -> None:
        super().__init__(tasks)
        self.logits = TaughtNumbers(torch.zeros(len(self.names)), lr, weight_decay)
        self.sums: dict[str, tuple[float, float]] = {}  # of the step's batches so far: loss · count and count

    def factors(self, means: Mapping[str, float]) -> dict[str, float]:
        """c z_t / L_t of the tasks that have a label."""
        names = [name for name in self.names if name in means and self.weights[name]]
        if not names:
            return {}
        values = torch.tensor([self.weights[name] * means[name] for name in names], dtype=torch.float64)
        refuse_negative("famo", names, values.tolist())
        place = [self.names.index(name) for name in names]
        shares = torch.softmax(self.logits.value.cpu().double()[place], 0) / (values + TINY)
        return dict(zip(names, (shares / shares.sum()).tolist(), strict=True))

    def step_loss(self, step: StepLosses) -> Balanced:
        """Σ_t c z_t / L_t · w_t L_t, whose gradient is that of the total above."""
        factors = self.factors(
            {name: float(mean) for name, mean in means_of_processes(step.losses, step.counts).items()}
        )
        for name, loss in step.losses.items():
            total, count = self.sums.get(name, (0.0, 0.0))
            new = float(loss.detach()) * step.counts[name] if step.counts[name] > 0 else 0.0
            self.sums[name] = (total + new, count + step.counts[name])
        terms = {
            name: factors.get(name, 0.0) * self.weights[name] * loss.float() for name, loss in step.weighed.items()
        }
        total_loss = torch.stack(list(terms.values())).sum()
        return total_loss, {f"{name}/weight": total_loss.new_tensor(factors.get(name, 0.0)) for name in terms}

    def stepped(self, losses_again: Callable[[], Mapping[str, float]]) -> None:
        """Learns from how much each loss fell."""
        device = self.logits.value.device
        means = {
            name: torch.tensor(total / count if count else 0.0, device=device)
            for name, (total, count) in self.sums.items()
        }
        before = means_of_processes(means, {name: count for name, (_, count) in self.sums.items()}) if means else {}
        self.sums = {}
        after = losses_again()
        change = torch.zeros(len(self.names))
        known = torch.zeros(len(self.names), dtype=torch.bool)
        for place, name in enumerate(self.names):
            if name in before and name in after and self.weights[name]:
                weight, known[place] = self.weights[name], True
                pair = torch.tensor([weight * float(before[name]), weight * after[name]], dtype=torch.float64)
                change[place] = -(pair + TINY).log().diff().squeeze()
        if not bool(known.any()) or not bool(change.isfinite().all()):
            return  # such as where loss scaling has skipped the step
        shares = torch.softmax(self.logits.value.cpu()[known], 0)
        gradient = torch.zeros(len(self.names))
        gradient[known] = shares * (change[known] - (shares * change[known]).sum())
        self.logits.step(gradient, known)

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """The sum of the losses, each times its task's weight: what FAMO's total says is no loss of its own."""
        return super().forward(losses, counts, share)
