"""Gates and attention per modality, averaged over the samples of a split: ``diagnostics.json``.

Of a fusion's diagnostics those of shape (B, M), or (B, M, H) averaged over H, are used: a number for each sample and
modality. Each sample counts once, and only for the modalities that it has; a row of zeros is left out.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from mmbert.training.modality_shares import LOGGED_PREFIX, ModalityShares, summarise_shares


class EpochDiagnostics(Callback):
    """Logs the means over validation after each epoch, and keeps them through interruptions.

    Attributes:
        by_epoch: ``{"epoch": 0, NAME: {"modalities": […], "mean": […], …}}``, in order.
    """

    def __init__(self) -> None:
        self.by_epoch: list[dict[str, Any]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins anew."""
        pl_module.shares["val"].reset()  # type: ignore[operator, union-attr, index]

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds the epoch that was measured."""
        shares: ModalityShares = pl_module.shares["val"]  # type: ignore[operator, union-attr, index, assignment]
        means = summarise_shares(shares.modalities, shares.values())
        if trainer.sanity_checking or not means:
            return
        epoch = trainer.current_epoch
        self.by_epoch = [one for one in self.by_epoch if one["epoch"] != epoch] + [{"epoch": epoch, **means}]
        pl_module.beside |= {  # type: ignore[operator, assignment]
            f"{LOGGED_PREFIX}/val/{name}/{modality}": mean
            for name, one in means.items()
            for modality, mean in zip(one["modalities"], one["mean"], strict=True)
            if mean is not None
        }

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far."""
        return {"by_epoch": self.by_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the epochs so far."""
        self.by_epoch = list(state_dict["by_epoch"])
