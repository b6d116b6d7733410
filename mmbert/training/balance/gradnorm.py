"""GradNorm: weights by which all tasks' gradients at the shared features are as long as their progress asks for.

    G_t = ‖∂(v_t L_t)/∂F‖      target_t = mean_t(G) · r_t^alpha      r_t = (L_t / L_t(0)) / mean_t(L_t / L_t(0))
    v ← Adam(v, the gradient of Σ_t |G_t - target_t|, targets constant),   then v ← T · v / Σ_t v_t

Paper: Chen et al. 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks",
arXiv:1711.02257, equations 1 and 2 and algorithm 1. Differs from it: the paper takes gradients at the weights W of the
last shared layer, here they are taken at its output F, the fused features that all heads read (``SharedFeatures``).
That is defined for every strategy, those without a last layer too, and adds up over accumulated batches and processes:
the norms are of the whole step. A weight is at least 1e-3 before it is renormalised; a task without a label in a step
keeps its weight and its L_t(0), which is the loss of the first step in which it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.adam import TaughtNumbers
from mmbert.training.balance.base import Balance, Balanced, StepLosses, means_of_processes
from mmbert.training.balance.features import gramian_of

#: A task's weight before it is renormalised, at least.
SMALLEST_WEIGHT = 1e-3


class GradNormBalance(Balance):
    """The losses' sum, each times v_t and its task's weight.

    Logged: ``TASK/weight`` = w_t · v_t, ``TASK/gradient`` = G_t.

    Args:
        tasks: by name.
        alpha: how much faster a task shall be trained that lags behind; 0 = all gradients are equally long.
        lr: of the weights.
    """

    at_features: ClassVar[bool] = True
    blends: ClassVar[bool] = False

    first: Tensor

    def __init__(
        self,
        tasks: Mapping[str, Task],
        alpha: Annotated[float, Range(0)] = 1.5,
        lr: Annotated[float, Range(above=0)] = 0.025,
    ) -> None:
        super().__init__(tasks)
        self.alpha = alpha
        self.taught = TaughtNumbers(torch.ones(len(self.names)), lr)
        self.register_buffer("first", torch.full((len(self.names),), math.nan))
        self.forget()

    def forget(self) -> None:
        """Begins a step of the optimiser: no batch has been seen."""
        self.squares = torch.zeros(len(self.names), dtype=torch.float64)  # of ‖∂(w_t L_t)/∂F‖, over batches
        self.losses = torch.zeros(len(self.names), dtype=torch.float64)
        self.counts = torch.zeros(len(self.names), dtype=torch.float64)

    def factors(self) -> dict[str, float]:
        """w_t · v_t by task."""
        return {n: self.weights[n] * v for n, v in zip(self.names, self.taught.value.tolist(), strict=True)}

    def step_loss(self, step: StepLosses) -> Balanced:
        """Σ_t w_t v_t L_t; on the way the norms are measured."""
        assert step.features is not None
        own = {name: self.weights[name] * loss.float() for name, loss in step.weighed.items()}
        jacobian = step.features.jacobian(list(own.values()), step.loss_scale)
        norms = gramian_of(jacobian).diagonal()
        self.squares += norms
        for place, name in enumerate(self.names):
            if step.counts[name] > 0:
                self.losses[place] += float(step.losses[name].detach()) * step.counts[name]
                self.counts[place] += step.counts[name]
        factors, taught = self.factors(), self.taught.value.tolist()
        total = torch.stack([value * own[name] for name, value in zip(own, taught, strict=True)]).sum()
        logs = {f"{name}/weight": total.new_tensor(factor) for name, factor in factors.items()}
        for place, name in enumerate(self.names):
            logs[f"{name}/gradient"] = total.new_tensor(taught[place] * math.sqrt(float(norms[place])))
        if step.features.originals:
            total = total + step.features.carry(jacobian, taught)
        return total, logs

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """Σ_t w_t v_t L_t of losses that stand for themselves."""
        factors = self.factors()
        return torch.stack([factors[name] * loss.float() for name, loss in losses.items()]).sum(), {}

    def stepped(self, losses_again: Callable[[], Mapping[str, float]]) -> None:
        """Moves the weights by what the step's batches have shown."""
        device = self.taught.value.device
        local = {
            name: (self.losses[place] / self.counts[place].clamp(min=1e-12)).to(device, torch.float32)
            for place, name in enumerate(self.names)
        }
        means = means_of_processes(local, dict(zip(self.names, self.counts.tolist(), strict=True)))
        norms = self.squares.sqrt()
        self.forget()
        known = torch.tensor([name in means and self.weights[name] > 0 for name in self.names])
        known &= norms.isfinite() & (norms > 0)
        losses = torch.tensor([float(means.get(name, math.nan)) for name in self.names], dtype=torch.float64)
        fresh = self.first.isnan().cpu() & losses.isfinite()
        self.first.copy_(torch.where(fresh, losses, self.first.cpu().double()))
        if int(known.sum()) < 2:
            return
        gradient = torch.zeros(len(self.names), dtype=torch.float64)
        values, first = self.taught.value.cpu().double(), self.first.cpu().double()
        gradient[known] = weight_gradient(norms[known], values[known], losses[known], first[known], self.alpha)
        self.taught.step(gradient, known)
        kept = self.taught.value.clamp(min=SMALLEST_WEIGHT)
        self.taught.value.copy_(len(self.names) * kept / kept.sum())


def weight_gradient(norms: Tensor, weights: Tensor, losses: Tensor, first: Tensor, alpha: float) -> Tensor:
    """(T,) the gradient of Σ_t |G_t - target_t| with respect to the weights.

    Args:
        norms: (T,) of the tasks' own gradients, without the weights.
        weights: (T,) v.
        losses: (T,) of this step.
        first: (T,) of the first step.
        alpha: see ``GradNormBalance``.
    """
    lengths = weights * norms
    ratios = losses / first
    targets = lengths.mean() * (ratios / ratios.mean()) ** alpha
    return (lengths - targets).sign() * norms
