"""The contract of a method that balances modalities: a callback that the training step also asks for its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytorch_lightning.callbacks import Callback
from torch import Tensor

from mmbert.core.types import Batch
from mmbert.model import ModelOutput

if TYPE_CHECKING:
    from mmbert.training.module import FusionModule


class ModalityBalance(Callback):
    """Base of the config group ``balance_modalities``; by itself it changes nothing.

    A subclass takes up the hooks it needs, those below or Lightning's. What it must remember from one step to the next
    goes through ``state_dict``, else a resumed run would end with other numbers; what it draws follows from ``seed``
    and the step, so that all processes draw alike. A method measures what it needs on train and validation alone.

    Args:
        seed: of the run; the building code passes it.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def trained_loss(self, module: FusionModule, batch: Batch, output: ModelOutput, joint: Tensor) -> Tensor:
        """The loss of a training batch that is followed.

        Args:
            module: whose step it is; its ``means["train"]`` take what is worth logging.
            batch: as the model saw it.
            output: what the model made of it; ``model.decode`` takes ``output.encoded`` again.
            joint: () the tasks' balanced loss; auxiliary losses and penalties come on top, whatever is returned.
        """
        return joint

    def validated(self, module: FusionModule, batch: Batch, output: ModelOutput) -> None:
        """Sees a validation batch; its ``means["val"]`` take what is worth logging."""

    def validation_ended(self, means: Mapping[str, Tensor]) -> None:
        """Hears what ``means["val"]`` came to over all processes; not of the sanity check before training."""

    def epoch_ended(self, means: Mapping[str, Tensor]) -> None:
        """Hears what ``means["train"]`` came to over all processes, before the epoch's checkpoint is written."""
