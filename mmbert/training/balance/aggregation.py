"""Balances that weigh the tasks' gradients at the fused features, by the library torchjd.

With J the Jacobian, one row ∂(w_t L_t)/∂F for each task t, at all that tasks read (``SharedFeatures``):

    gradient at F = Σ_t α_t(J) · J_t           goes on through fusion and encoders
    gradient at the head of t = ∂(w_t L_t)/∂θ_t

Where the methods' papers take J with respect to all shared parameters, F is what stands between them and the heads
(Sener & Koltun 2018, arXiv:1810.04650, section 3.3, for MGDA; an upper bound of its objective): one backward pass
through the encoders whatever the number of tasks, and no copy of the parameters for each.

All methods here depend on J through its Gramian J Jᵀ (T, T) alone. Rows are over samples, so the Gramians of processes
add up: W processes weigh by the same numbers as one that has all their samples. With
``trainer.accumulate_grad_batches`` each batch is weighed by itself, and the results are accumulated.

J is divided by the root mean square s of its rows' norms, and the result multiplied by s: torchjd's projections take
a Jacobian of a norm below 0.01 for zeros and give the plain mean without a word. Methods whose answer scales with J
(all but Nash-MTL and FairGrad) are the same as without; for these two it is their rule at s = 1.

A task without a label in the batch, or without any gradient at F, is left out of J; it is no row of zeros. A single
task that is left keeps its own gradient.

Methods that remember something from step to step are in ``stateful_aggregation.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.base import Balance, Balanced, StepLosses, need_torchjd
from mmbert.training.balance.features import gramian_of


class AggregationBalance(Balance):
    """Base of the balances at the fused features; a subclass implements ``weights_of``.

    Logged: ``TASK/weight`` is α_t, ``TASK/gradient`` the norm of its row, ``conflict`` the share of pairs of tasks
    whose gradients point against each other.

    Args:
        tasks: by name.

    Raises:
        ConfigError: as ``Balance``, or torchjd is not installed.
    """

    at_features: ClassVar[bool] = True
    blends: ClassVar[bool] = False

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        need_torchjd(type(self).__name__)
        super().__init__(tasks)

    def weights_of(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) float64 Gramian of the rows that are left, the mean of its diagonal 1 -> (m,) their weights.

        Args:
            gramian: on the CPU.
            tasks: which tasks the rows are, by their place.
        """
        raise NotImplementedError

    def step_loss(self, step: StepLosses) -> Balanced:
        """The heads' losses, and a term that gives the features their gradient."""
        assert step.features is not None
        own = {name: self.weights[name] * loss.float() for name, loss in step.weighed.items()}
        total = torch.stack(list(own.values())).sum()
        if not step.features.originals:
            return total, {}
        jacobian = step.features.jacobian(list(own.values()), step.loss_scale)
        gramian = gramian_of(jacobian)
        weights = self.row_weights(gramian)
        return total + step.features.carry(jacobian, weights.tolist()), self.logged(weights, gramian, total)

    def row_weights(self, gramian: Tensor) -> Tensor:
        """(T, T) -> (T,) α, 0 for rows of zeros.

        Where a number is not finite all are 1: loss scaling will skip the step.
        """
        norms = gramian.diagonal()
        if not bool(gramian.isfinite().all()):
            return torch.ones_like(norms)
        found = torch.zeros_like(norms)
        rows = norms.nonzero().flatten().tolist()
        if len(rows) == 1:
            found[rows[0]] = 1.0
        elif rows:
            left = gramian[rows][:, rows]
            found[rows] = self.weights_of(left / left.diagonal().mean(), rows).double()
        return found

    def logged(self, weights: Tensor, gramian: Tensor, total: Tensor) -> dict[str, Tensor]:
        """What an epoch's means are made of, on the device of the total."""
        logs = {}
        for place, name in enumerate(self.names):
            logs[f"{name}/weight"] = weights[place].to(total.device, torch.float32)
            logs[f"{name}/gradient"] = gramian[place, place].sqrt().to(total.device, torch.float32)
        rows = gramian.diagonal().nonzero().flatten().tolist()
        pairs = [float(gramian[a, b] < 0) for a in rows for b in rows if a < b]
        logs["conflict"] = torch.tensor(sum(pairs) / max(1, len(pairs)), device=total.device)
        return logs


class TorchjdBalance(AggregationBalance):
    """One whose weights a stateless weighting of torchjd computes from the Gramian; ``self.weighting`` is set by it."""

    weighting: Any

    def weights_of(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,)."""
        found: Tensor = self.weighting(gramian)
        return found


class SumBalance(TorchjdBalance):
    """α = 1: ``balance=fixed``, by the way of the Jacobian."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import SumWeighting

        self.weighting = SumWeighting()


class MeanBalance(TorchjdBalance):
    """α = 1 / m for the features; heads keep their whole gradients."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import MeanWeighting

        self.weighting = MeanWeighting()


class UPGradBalance(TorchjdBalance):
    """Each row projected onto the cone of directions that harm no task, then their mean.

    Paper: Quinton & Rey 2024, "Jacobian Descent for Multi-Objective Optimization", arXiv:2406.16232.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import UPGradWeighting

        self.weighting = UPGradWeighting()


class DualProjBalance(TorchjdBalance):
    """The mean of the rows, projected onto the cone of directions that harm no task.

    Paper: Lopez-Paz & Ranzato 2017, "Gradient Episodic Memory for Continual Learning", arXiv:1706.08840, equation 11.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import DualProjWeighting

        self.weighting = DualProjWeighting()


class MGDABalance(TorchjdBalance):
    """The shortest vector of the rows' convex hull.

    Paper: Désidéri 2012, "Multiple-gradient descent algorithm (MGDA)"; Sener & Koltun 2018, arXiv:1810.04650, whose
    Frank-Wolfe solver torchjd has.

    Args:
        tasks: by name.
        epsilon: the solver stops at steps below it.
        max_iters: or after so many.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        epsilon: Annotated[float, Range(above=0)] = 1e-3,
        max_iters: Annotated[int, Range(1)] = 100,
    ) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import MGDAWeighting

        self.weighting = MGDAWeighting(epsilon, max_iters)


class CAGradBalance(TorchjdBalance):
    """The direction within a ball around the mean that helps the worst task most.

    Paper: Liu et al. 2021, "Conflict-Averse Gradient Descent for Multi-task Learning", arXiv:2110.14048.

    Args:
        tasks: by name.
        c: radius of the ball, as a share of the mean's norm; 0 = the mean.
    """

    def __init__(self, tasks: Mapping[str, Task], c: Annotated[float, Range(0)] = 0.4) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import CAGradWeighting

        self.weighting = CAGradWeighting(c)


class IMTLGBalance(TorchjdBalance):
    """The vector whose projections onto all rows are equally long.

    Paper: Liu et al. 2021, "Towards Impartial Multi-task Learning" (IMTL-G), ICLR.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import IMTLGWeighting

        self.weighting = IMTLGWeighting()


class AlignedMTLBalance(TorchjdBalance):
    """The rows' principal components made equally long, then their mean.

    Paper: Senushkin et al. 2023, "Independent Component Alignment for Multi-Task Learning", arXiv:2305.19000.

    Args:
        tasks: by name.
        scale_mode: how long: as the smallest component, the median one or the root mean square.
    """

    def __init__(self, tasks: Mapping[str, Task], scale_mode: Literal["min", "median", "rmse"] = "min") -> None:
        super().__init__(tasks)
        from torchjd.aggregation import AlignedMTLWeighting

        self.weighting = AlignedMTLWeighting(scale_mode=scale_mode)


class FairGradBalance(TorchjdBalance):
    """α-fair weights: J Jᵀ x = x^(-1/alpha).

    Paper: Ban & Ji 2024, "Fair Resource Allocation in Multi-Task Learning", arXiv:2402.15638.

    Args:
        tasks: by name.
        alpha: 0 = the mean, 1 = proportional fairness, larger = more like the worst task alone.
    """

    def __init__(self, tasks: Mapping[str, Task], alpha: Annotated[float, Range(0)] = 1.0) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import FairGradWeighting

        self.weighting = FairGradWeighting(alpha)


class ConFIGBalance(AggregationBalance):
    """The direction whose cosines with all rows are equal, as long as the rows' projections onto it together.

    Paper: Liu et al. 2024, "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks",
    arXiv:2408.11104.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import ConFIG

        self.aggregator = ConFIG()

    def weights_of(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,): its answer for a matrix with this Gramian, as a sum of the rows."""
        matrix = square_root(gramian)
        return torch.linalg.pinv(matrix.T) @ self.aggregator(matrix)


def square_root(gramian: Tensor) -> Tensor:
    """(m, m) -> the symmetric (m, m) whose rows have these inner products."""
    values, vectors = torch.linalg.eigh(gramian)
    return vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
