"""Balances that make one number of the tasks' losses, by the library torchjd.

    S(L) of the losses L of the tasks that have a label in the batch;   gradient = Σ_t ∂S/∂L_t · ∂L_t/∂θ

The factors ∂S/∂L_t are taken at the mean losses over all processes, so that W processes weigh as one that has all
their samples; with ``trainer.accumulate_grad_batches`` at those of each batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.base import (
    Balance,
    Balanced,
    StepLosses,
    means_of_processes,
    need_torchjd,
    refuse_negative,
    step_seed,
)

#: What a loss is at least where its logarithm is taken.
LEAST = 1e-8


class ScalarizationBalance(Balance):
    """Base of the balances S(L); a subclass implements ``scalarized``.

    Logged: ``TASK/weight`` = ∂S/∂L_t.

    Args:
        tasks: by name.

    Raises:
        ConfigError: as ``Balance``, or torchjd is not installed.
    """

    blends: ClassVar[bool] = False

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        need_torchjd(type(self).__name__)
        super().__init__(tasks)

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) losses of the named tasks -> () S, differentiable."""
        raise NotImplementedError

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """S of losses that stand for themselves."""
        names = [name for name in losses if counts[name] > 0]
        if not names:
            return torch.stack(list(losses.values())).sum() * 0.0, {}
        return self.scalarized(torch.stack([losses[name].float() for name in names]), names), {}

    def step_loss(self, step: StepLosses) -> Balanced:
        """Σ_t ∂S/∂L_t · L_t."""
        means = means_of_processes(step.losses, step.counts)
        factors = dict.fromkeys(step.weighed, 0.0)
        if means:
            with torch.enable_grad():
                values = torch.stack(list(means.values())).requires_grad_()
                (found,) = torch.autograd.grad(self.scalarized(values, list(means)), values)
            factors |= dict(zip(means, found.tolist(), strict=True))
        terms = [factors[name] * loss.float() for name, loss in step.weighed.items()]
        logs = {f"{name}/weight": terms[0].new_tensor(factor) for name, factor in factors.items()}
        return torch.stack(terms).sum(), logs

    def preference(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) the weights of the named tasks, their sum 1."""
        weights = values.new_tensor([self.weights[name] for name in names])
        return weights / weights.sum() if bool(weights.any()) else weights


class STCHBalance(ScalarizationBalance):
    """A smooth maximum of the weighted losses: the worst task decides. The tasks' weights are divided by their sum.

    Paper: Lin et al. 2024, "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", arXiv:2402.19078.

    Args:
        tasks: by name.
        mu: how smooth; nearer to 0 = nearer to the maximum.
    """

    def __init__(self, tasks: Mapping[str, Task], mu: Annotated[float, Range(above=0)] = 0.1) -> None:
        super().__init__(tasks)
        self.mu = mu

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) -> ()."""
        from torchjd.scalarization import STCH

        found: Tensor = STCH(self.mu, self.preference(values, names))(values)
        return found


class GeometricMeanBalance(ScalarizationBalance):
    """The geometric mean of the losses: each one's relative change counts alike. The tasks' weights have no part.

    Paper: Chennupati et al. 2019, "MultiNet++", arXiv:1904.08492.
    """

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) -> ()."""
        from torchjd.scalarization import GeometricMean

        refuse_negative("geometric_mean", names, values.tolist())
        found: Tensor = GeometricMean()(values.clamp(min=LEAST))
        return found


class PBIBalance(ScalarizationBalance):
    """How far the losses are along the direction of the tasks' weights, and how far from it.

    Paper: Zhang & Li 2007, "MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition".

    Args:
        tasks: by name.
        theta: what the distance from the direction costs.
    """

    def __init__(self, tasks: Mapping[str, Task], theta: Annotated[float, Range(0)] = 1.0) -> None:
        super().__init__(tasks)
        self.theta = theta

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) -> ()."""
        from torchjd.scalarization import PBI

        weights = self.preference(values, names)
        found: Tensor = PBI(self.theta, weights)(values) if bool(weights.any()) else values.sum() * 0.0
        return found


class COSMOSBalance(ScalarizationBalance):
    """The weighted sum, less the cosine between losses and weights.

    Paper: Ruchte & Grabocka 2021, "Scalable Pareto Front Approximation for Deep Multi-Objective Learning",
    arXiv:2103.13392. Of it the objective for one preference; the model is not given the preference as an input.

    Args:
        tasks: by name.
        penalty: the factor on the cosine, the paper's λ.
    """

    def __init__(self, tasks: Mapping[str, Task], penalty: Annotated[float, Range(0)] = 1.0) -> None:
        super().__init__(tasks)
        self.penalty = penalty

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) -> ()."""
        from torchjd.scalarization import COSMOS

        found: Tensor = COSMOS(self.penalty, self.preference(values, names))(values)
        return found


class RandomBalance(ScalarizationBalance):
    """Random weights with the sum 1, drawn anew at each step; the same in all processes. The tasks' weights multiply.

    Paper: Lin et al. 2022, "Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning",
    arXiv:2111.10603.

    Args:
        tasks: by name.
        seed: of the draws.
    """

    steps: Tensor

    def __init__(self, tasks: Mapping[str, Task], seed: int = 0) -> None:
        super().__init__(tasks)
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """Of a validation the mean, which is what the draws come to."""
        named = [self.weights[name] * loss.float() for name, loss in losses.items() if counts[name] > 0]
        return (torch.stack(named).mean() if named else torch.stack(list(losses.values())).sum() * 0.0), {}

    def scalarized(self, values: Tensor, names: list[str]) -> Tensor:
        """(m,) -> ()."""
        from torchjd.scalarization import Random

        weighted = (values * values.new_tensor([self.weights[name] for name in names])).cpu()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(self.seed, int(self.steps)))
            self.steps += 1
            found: Tensor = Random()(weighted)
        return found


class IMTLLBalance(Balance):
    """Learnt scales that bring all losses to the same size: L = Σ_t (exp(s_t) · w_t L_t - s_t).

    Paper: Liu et al. 2021, "Towards Impartial Multi-task Learning" (IMTL-L), ICLR. A task without a label in the batch
    gives neither a loss nor a gradient to its s_t. Logged: ``TASK/weight`` = w_t · exp(s_t).

    Args:
        tasks: by name.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        need_torchjd("balance=imtl_l")
        super().__init__(tasks)
        from torchjd.scalarization import IMTLL

        self.scales = nn.ModuleDict({name: IMTLL(1) for name in tasks})

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """The total, and what to log."""
        terms, logs = [], {}
        for name, loss in losses.items():
            scale: Any = self.scales[name]
            weighted = (self.weights[name] * loss.float()).reshape(1)
            regulariser = scale(torch.zeros_like(weighted))
            # times 0 rather than left out: distributed training waits for a gradient of every parameter
            terms.append((scale(weighted) - regulariser + share * regulariser) * float(counts[name] > 0))
            logs[f"{name}/weight"] = self.weights[name] * scale.log_scale.detach().exp().squeeze()
        return torch.stack(terms).sum(), logs
