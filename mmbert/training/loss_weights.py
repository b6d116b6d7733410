"""How much a batch's losses count where several batches and processes make one step of the optimiser.

With ``trainer.accumulate_grad_batches=k`` and W processes the step shall be that of one batch k·W times as large. The
*window* is what makes the step: k batches of each process. A task's loss is the mean over the N samples of the window
that are labelled for it. Lightning divides each batch's loss by k, and the processes' gradients are averaged, so the
mean over a batch's n labelled samples is multiplied by

    k W n / N        n: of this batch, N: of the window

which needs N before the first backward pass: the loader looks ahead, and the tasks count their targets. The last window
of an epoch may hold fewer than k batches. What does not depend on samples (penalties, the balance's regularisers) is
split evenly among the window's batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor

from mmbert.core.precision import exact_dtype
from mmbert.core.types import Batch

#: The name under which a window counts its samples, for losses that stand for samples rather than labels.
SAMPLES = "samples"
Counts = Mapping[str, float]


class LossWeights:
    """The weights of one window's losses; as it is built, of a window of one batch in one process: all are 1.

    Args:
        batches: counts of each of this process's batches in the window, in their order.
        accumulated: k.
        device: where processes add up their counts.
    """

    def __init__(
        self, batches: Sequence[Counts] = (), accumulated: int = 1, device: torch.device | None = None
    ) -> None:
        self.batches = deque(batches)
        self.size = max(1, len(batches))
        self.accumulated = accumulated
        self.processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        self.alone = accumulated == 1 and self.processes == 1
        self.totals = {} if self.alone else counts_of_all_processes(sum_of(batches), device)
        self.own: Counts = {}
        self.losses: list[Tensor] = []

    def next_batch(self) -> None:
        """The window's next batch is at hand."""
        if not self.batches:  # of a loader that cannot look ahead each batch is a window of its own
            self.losses = []
        self.own = self.batches.popleft() if self.batches else {}

    def weight(self, name: str) -> float:
        """The factor on the mean loss of this batch that is counted under ``name``."""
        if name not in self.own or not self.totals.get(name):
            return 1.0
        return self.accumulated * self.processes * self.own[name] / self.totals[name]

    def count(self, name: str, own: float) -> float:
        """How much the whole window holds of what this batch holds ``own`` of."""
        return self.totals.get(name, own)

    def loss_so_far(self, loss: Tensor) -> Tensor:
        """() this batch's weighed loss -> that of the step, estimated by the batches so far, exact with the last."""
        self.losses.append(loss)
        if self.size == 1:
            return loss / self.accumulated
        return torch.stack(self.losses).sum() / self.accumulated * (self.size / len(self.losses))

    @property
    def share(self) -> float:
        """The factor on what is split evenly among the window's batches."""
        return self.accumulated / self.size


class WindowWeights:
    """Makes the weights of each window; the train loader shows it the window's batches (``LookAhead``).

    Args:
        trainer: whose loop it is.
        count: how much of a batch, on the CPU, each loss stands for, by the name it is weighed under.
    """

    def __init__(self, trainer: pl.Trainer, count: Callable[[Batch], Counts]) -> None:
        self.trainer = trainer
        self.count = count
        self.current = LossWeights()

    def size(self) -> int:
        """How many batches the next step of the optimiser takes."""
        k, done = self.trainer.accumulate_grad_batches, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        return int(min(k - done % k, self.trainer.num_training_batches - done))

    def see(self, batches: Sequence[Batch]) -> None:
        """The batches that make the next step of the optimiser."""
        accumulated = self.trainer.accumulate_grad_batches
        several = accumulated > 1 or self.trainer.world_size > 1
        counts = [self.count(batch) for batch in batches] if several else ()
        self.current = LossWeights(counts, accumulated, self.trainer.strategy.root_device)


def sum_of(batches: Sequence[Counts]) -> dict[str, float]:
    """Counts of several batches added up; every batch has the same names."""
    return {name: sum(batch[name] for batch in batches) for name in (batches[0] if batches else ())}


def counts_of_all_processes(counts: Counts, device: torch.device | None) -> dict[str, float]:
    """The same, added up over all processes; every process must call it with the same names."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return dict(counts)
    values = torch.tensor([counts[name] for name in counts], dtype=exact_dtype(device), device=device)
    dist.all_reduce(values)
    return dict(zip(counts, values.tolist(), strict=True))
