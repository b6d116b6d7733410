"""Heads that no gradient trains (``Task.fits_head``) are fitted to all training samples, before each validation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from mmbert.core.types import Tensors
from mmbert.data.datamodule import MultimodalData
from mmbert.training.callbacks.process_parts import gathered
from mmbert.training.module import FusionModule


class FittedHeads(Callback):
    """Runs the model over the train split, in its order and without random changes, and lets the tasks fit.

    The checkpoint of a validation therefore holds heads that fit its encoders. Every process fits to the same samples.

    Args:
        data: whose train split it is.
    """

    def __init__(self, data: MultimodalData) -> None:
        self.data = data
        self._fitted_at = -1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fits, in a validation of training alone."""
        if trainer.state.fn == "fit":
            self._fit(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fits to the last weights, where no validation has come after them."""
        if self._fitted_at != trainer.global_step:
            self._fit(trainer, pl_module)

    @torch.no_grad()
    def _fit(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, FusionModule)
        self._fitted_at = trainer.global_step
        fitting = {name: task for name, task in module.tasks.items() if task.fits_head}
        rows: list[int] = []
        found: dict[str, list[tuple[Tensors, Tensors]]] = {name: [] for name in fitting}
        training = module.training
        module.eval()
        for batch in self.data.plain_loader("train"):
            moved = batch.to(module.device)
            outputs = module(moved).outputs
            rows += moved.rows.tolist()
            for name in fitting:
                found[name].append((on_cpu(outputs[name]), on_cpu(moved.targets[name])))
        module.train(training)
        own = {name: tuple(map(one_after_another, zip(*some, strict=True))) for name, some in found.items()}
        parts = gathered({"rows": rows, "found": own})
        order = places_in_order([row for part in parts for row in part["rows"]])
        for name, task in fitting.items():
            outputs, targets = (one_after_another([part["found"][name][i] for part in parts]) for i in (0, 1))
            task.fit_head(*({key: x[order] for key, x in tensors.items()} for tensors in (outputs, targets)))


def on_cpu(tensors: Tensors) -> Tensors:
    """The same on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in tensors.items()}


def one_after_another(parts: Any) -> Tensors:
    """Named tensors one after another."""
    parts = list(parts)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def places_in_order(rows: list[int]) -> torch.Tensor:
    """The places of the samples in the order of their rows, without copies that fill up a batch (-1)."""
    return torch.tensor([place for row, place in sorted((row, place) for place, row in enumerate(rows)) if row >= 0])
