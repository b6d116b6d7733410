"""Balances at the fused features (``aggregation.py``) that remember something from step to step.

What they remember is in a buffer, so that a resumed run goes on as one that was not interrupted: the number of the
step, of which the random order follows; running averages; the last step's solution.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.tasks.base import Task
from mmbert.training.balance.aggregation import AggregationBalance, square_root
from mmbert.training.balance.base import step_seed


class RandomOrderBalance(AggregationBalance):
    """One whose method draws an order of the tasks at each step; all processes, and a resumed run, draw alike."""

    steps: Tensor

    def __init__(self, tasks: Mapping[str, Task], seed: int = 0) -> None:
        super().__init__(tasks)
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def weights_of(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,), with the random numbers of this step; others' are left as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(self.seed, int(self.steps)))
            self.steps += 1
            return self.drawn_weights(gramian, tasks)

    def drawn_weights(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """As ``weights_of``, torch's random numbers on the CPU being those of the step."""
        raise NotImplementedError


class PCGradBalance(RandomOrderBalance):
    """Each row without what points against another, those being visited in random order, then their sum.

    Paper: Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", arXiv:2001.06782.

    Args:
        tasks: by name.
        seed: of the orders.
    """

    def __init__(self, tasks: Mapping[str, Task], seed: int = 0) -> None:
        super().__init__(tasks, seed)
        from torchjd.aggregation import PCGradWeighting

        self.weighting = PCGradWeighting()

    def drawn_weights(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,)."""
        found: Tensor = self.weighting(gramian)
        return found


class GradVacBalance(RandomOrderBalance):
    """Rows turned until each pair is as similar as it was on average, then their sum.

    Paper: Wang et al. 2020, "Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively
    Multilingual Models", arXiv:2010.05874. The averages of pairs are kept where a task has no label in a batch.

    Args:
        tasks: by name.
        beta: how much a step counts in the running average of a pair's cosine.
        seed: of the orders.
    """

    cosines: Tensor

    def __init__(self, tasks: Mapping[str, Task], beta: Annotated[float, Range(0, 1)] = 0.5, seed: int = 0) -> None:
        super().__init__(tasks, seed)
        from torchjd.aggregation import GradVacWeighting

        # not a submodule: the average that it keeps is ours, for all tasks, and in checkpoints
        object.__setattr__(self, "weighting", GradVacWeighting(beta))
        self.register_buffer("cosines", torch.zeros(len(self.names), len(self.names), dtype=torch.float64))

    def drawn_weights(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,)."""
        weighting: Any = self.weighting
        place = torch.tensor(tasks, device=self.cosines.device)
        weighting._phi_t = self.cosines[place][:, place].cpu()
        weighting._state_key = (len(tasks), gramian.dtype)
        found: Tensor = weighting(gramian)
        self.cosines[place.unsqueeze(1), place] = weighting._phi_t.to(self.cosines.device)
        return found


class NashMTLBalance(AggregationBalance):
    """The bargaining solution of Nash: J Jᵀ x = 1 / x.

    Paper: Navon et al. 2022, "Multi-Task Learning as a Bargaining Game", arXiv:2202.01017. Each step begins from the
    last one's solution, which checkpoints keep.

    Args:
        tasks: by name.
        max_norm: the joint gradient is no longer than this many root mean squares of the tasks' ones; 0 = any length.
        optim_niter: convex programs solved in a step, at most.
    """

    solution: Tensor

    def __init__(
        self,
        tasks: Mapping[str, Task],
        max_norm: Annotated[float, Range(0)] = 1.0,
        optim_niter: Annotated[int, Range(1)] = 20,
    ) -> None:
        super().__init__(tasks)
        from torchjd.aggregation import NashMTL

        self.solvers = {m: NashMTL(m, max_norm, 1, optim_niter).weighting for m in range(2, len(self.names) + 1)}
        self.register_buffer("solution", torch.ones(len(self.names)))

    def weights_of(self, gramian: Tensor, tasks: list[int]) -> Tensor:
        """(m, m) -> (m,)."""
        place = torch.tensor(tasks, device=self.solution.device)
        solver = self.solvers[len(tasks)]
        solver.prvs_alpha = self.solution[place].cpu().numpy().astype(np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are solving a parameterized problem that is not DPP")
            found: Tensor = solver(square_root(gramian))
        self.solution[place] = torch.as_tensor(solver.prvs_alpha, dtype=torch.float32).to(self.solution.device)
        return found
