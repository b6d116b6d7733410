"""Early stopping that takes a metric without a value for no improvement, not for a reason to stop at once.

With ``check_finite`` Lightning stops at any value that is not finite. A correlation is NaN while all predictions are
the same, as they may be after the first epoch; training must go on then. A loss that is NaN has diverged: it stops.
"""

from __future__ import annotations

from pytorch_lightning import callbacks
from torch import Tensor

#: Last parts of the names of losses.
LOSS_NAMES = ("loss", "loss_sum", "mean_loss")


class EarlyStopping(callbacks.EarlyStopping):  # of the same name: checkpoints know its state by it
    """Lightning's, but that NaN of a metric which is no loss counts as a validation without a new best."""

    def _evaluate_stopping_criteria(self, current: Tensor) -> tuple[bool, str | None]:
        if not bool(current.isnan()) or self.monitor.rpartition("/")[2] in LOSS_NAMES:
            return super()._evaluate_stopping_criteria(current)
        asked, self.check_finite = self.check_finite, False
        try:
            return super()._evaluate_stopping_criteria(current)
        finally:
            self.check_finite = asked
