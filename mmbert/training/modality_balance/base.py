"""The contract of a method that balances modalities: a callback that also computes the loss of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from mmbert.core.types import Batch
from mmbert.model import ModelOutput, MultimodalModel
from mmbert.tasks.base import Task
from mmbert.training.epoch_means import EpochMeans
from mmbert.training.loss_weights import LossWeights


class TrainedModule(Protocol):
    """What a method sees of the ``FusionModule`` whose step it takes part in."""

    @property
    def model(self) -> MultimodalModel:
        """Encoders, fusion and tasks."""
        ...

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The model's tasks by name."""
        ...

    @property
    def balance(self) -> nn.Module:
        """``({task: mean loss}, {task: count}) -> (total, logs)``."""
        ...

    @property
    def means(self) -> Mapping[str, EpochMeans]:
        """Means over the epoch of what is logged, ``train`` and ``val``."""
        ...

    @property
    def weights(self) -> LossWeights:
        """Of the losses of the current batch."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        ...


class ModalityBalance(Callback):
    """Base of the config group ``balance_modalities``; by itself it changes nothing.

    A subclass overrides the hooks it needs, those below or Lightning's. What it must remember from one step to the next
    goes through ``state_dict``, else a resumed run would end with other numbers; what it draws follows from ``seed``
    and the step, so that all processes draw alike. A method measures what it needs on train and validation alone.

    Args:
        seed: of the run; the building code passes it.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def trained_loss(self, module: TrainedModule, batch: Batch, output: ModelOutput, joint: Tensor) -> Tensor:
        """The loss of a training batch that is followed.

        Args:
            module: whose step it is; what is to be logged is added to ``module.means["train"]``.
            batch: as the model saw it.
            output: what the model made of it; ``model.decode`` takes ``output.encoded`` again.
            joint: () the tasks' balanced loss; auxiliary losses and penalties come on top, whatever is returned.
        """
        return joint

    def counts(self, tasks: Mapping[str, Task], batch: Batch) -> dict[str, float]:
        """How much of a training batch the method's own losses stand for, by the names it weighs them under.

        Where several batches or processes make one step, ``module.weights`` weighs the losses by these counts.

        Args:
            tasks: by name, without weights.
            batch: on the CPU, before it is trained on.
        """
        return {}

    def validated(self, module: TrainedModule, batch: Batch, output: ModelOutput) -> None:
        """Called with every validation batch; what is to be logged is added to ``module.means["val"]``."""

    def validation_ended(self, means: Mapping[str, Tensor]) -> None:
        """Called with the means of a validation over all processes; not after the sanity check before training."""

    def epoch_ended(self, means: Mapping[str, Tensor]) -> None:
        """Called with the means of an epoch over all processes, before the epoch's checkpoint is written."""
