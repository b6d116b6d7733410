"""What every balance of task losses shares.

A balance is any ``nn.Module`` that is called as ``({task: mean loss}, {task: count}, share) -> (total, logs)``. One
that needs more of a training step (the gradients at the fused features, the end of an epoch or of a step of the
optimiser) is a ``Balance``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.core.precision import exact_dtype
from mmbert.tasks.base import Task
from mmbert.training.balance.features import SharedFeatures

#: A total to go backward from, and what to log.
Balanced = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class StepLosses:
    """The tasks' losses of one training batch of this process.

    Attributes:
        losses: by task, () mean over what is labelled in the batch.
        counts: by task, how much that is.
        weighed: by task, the loss times its factor in a step of several batches or processes (``LossWeights``).
        totals: by task, how much the whole step has labelled.
        share: the factor on what does not depend on samples.
        features: what the tasks have read, cut off from what made it; None unless the balance is ``at_features``.
        loss_scale: by which mixed precision multiplies losses before it goes backward.
    """

    losses: Mapping[str, Tensor]
    counts: Mapping[str, float]
    weighed: Mapping[str, Tensor]
    totals: Mapping[str, float]
    share: float = 1.0
    features: SharedFeatures | None = None
    loss_scale: float = 1.0


class Balance(nn.Module):
    """Base of the balances that take part in a training step.

    Args:
        tasks: by name.

    Attributes:
        at_features: whether it weighs the tasks' gradients at the fused features.
        measures_again: whether it needs the losses of the same batches after the optimiser's step.
        blends: whether other losses than the tasks' own may be weighed by it too, as ``gradient_blending`` does.

    Raises:
        ConfigError: a weight is negative or not finite, or all are 0.
    """

    at_features: ClassVar[bool] = False
    measures_again: ClassVar[bool] = False
    blends: ClassVar[bool] = True

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.weights = fixed_weights(tasks)
        self.names = list(tasks)

    def forward(self, losses: Mapping[str, Tensor], counts: Mapping[str, float], share: float = 1.0) -> Balanced:
        """The total of losses that stand for themselves, such as those of a validation; arguments as of ``StepLosses``.

        By itself the sum of the losses, each times its task's weight.
        """
        return torch.stack([self.weights[name] * loss.float() for name, loss in losses.items()]).sum(), {}

    def step_loss(self, step: StepLosses) -> Balanced:
        """The total of a training batch, and what to log."""
        return self(step.weighed, step.totals, step.share)

    def stepped(self, losses_again: Callable[[], Mapping[str, float]]) -> None:
        """Called after each step of the optimiser.

        Args:
            losses_again: gives the mean losses of the step's batches over all processes, with the new weights, by task
                that is labelled; only with ``measures_again``.
        """

    def epoch_ended(self, means: Mapping[str, Tensor]) -> None:
        """Called with the means of a training epoch over all processes, ``TASK/loss`` among them."""


def fixed_weights(tasks: Mapping[str, Task]) -> dict[str, float]:
    """The tasks' option ``weight``, checked."""
    weights = {name: float(task.weight) for name, task in tasks.items()}
    for name, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"tasks.{name}.weight={weight} must be finite and not negative.")
    if not any(weights.values()):
        raise ConfigError(f"Every task has weight 0 ({', '.join(weights)}): there is nothing to learn.")
    return weights


def means_of_processes(losses: Mapping[str, Tensor], counts: Mapping[str, float]) -> dict[str, Tensor]:
    """() mean loss by task over the processes' batches together, without a graph; tasks without a label are left out.

    Every process must call it with the same names.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return {name: loss.detach().float() for name, loss in losses.items() if counts[name] > 0}
    first = next(iter(losses.values()))
    # where nothing is labelled the loss may be anything: it is not multiplied
    totals = [float(loss) * counts[name] if counts[name] > 0 else 0.0 for name, loss in losses.items()]
    pairs = torch.tensor([totals, list(counts.values())], dtype=exact_dtype(first.device), device=first.device)
    dist.all_reduce(pairs)
    return {
        name: (total / count).float() for name, total, count in zip(losses, *pairs, strict=True) if float(count) > 0
    }


def refuse_negative(method: str, names: Sequence[str], values: Sequence[float]) -> None:
    """Refuses losses below 0 where a method takes their logarithm.

    Raises:
        TrainingError: names the first such task.
    """
    for name, value in zip(names, values, strict=True):
        if value < 0:
            raise TrainingError(
                f"balance={method} takes the logarithm of losses, but that of the task '{name}' is {value:.4g}, below "
                "0. Choose another balance, such as balance=uncertainty or balance=upgrad."
            )


def need_torchjd(what: str) -> None:
    """Refuses a balance of the library torchjd where it is not installed, before anything is trained.

    Raises:
        ConfigError: names the extra.
    """
    try:
        import torchjd  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{what} is computed by the library torchjd, which is not installed: pip install 'mmbert[multitask]'"
        ) from error


def step_seed(seed: int, step: int) -> int:
    """A seed for each step of each seed."""
    return int(np.random.SeedSequence([abs(seed), step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
