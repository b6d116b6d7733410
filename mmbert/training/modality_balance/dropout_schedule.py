"""Modality dropout whose rate follows a schedule over the epochs.

    p(e) = start + (end - start) · f(e / epochs),   f(t) = t (linear) or (1 - cos π t) / 2 (cosine), t at most 1

In epoch e, counted from 0, each training sample loses each of its modalities with the chance p(e), but never all of
them (Neverova et al. 2016, "ModDrop", arXiv:1501.00102). A rate that grows lets the modalities first learn together
and then each to do without the others; one that falls begins with what each can do alone. Schedules of dropout are from
Morerio et al. 2017, "Curriculum Dropout", arXiv:1703.06229, for units rather than modalities and with another curve.

Every draw depends on seed, epoch and row alone and is that of ``augment.modality_dropout``: with ``start`` and ``end``
alike the two train the same model. It acts on the batch as it enters the model; with stored features too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import Batch, Inputs
from mmbert.data.augment.augmentation import CHANCES, Augmentation, sample_draw
from mmbert.data.loading.cached import FRESH, PART
from mmbert.training.modality_balance.base import ModalityBalance
from mmbert.training.modality_balance.unimodal import need_several

SHAPES = ("linear", "cosine")
#: A chance for all modalities, or one by encoder name; what is not named is never dropped.
Rate = float | Mapping[str, float]


class ModalityDropoutSchedule(ModalityBalance):
    """Takes modalities away from training batches. Logged: ``train/modality_dropout/MODALITY``, the rate.

    Args:
        start: the rate in the first epoch, a number or one by encoder name.
        end: the rate from epoch ``epochs`` on.
        epochs: how long it takes from one to the other.
        shape: ``linear`` or ``cosine``.
        seed: see ``ModalityBalance``.

    Raises:
        ConfigError: an option lies outside its range.
    """

    def __init__(
        self,
        start: Annotated[Rate, CHANCES] = 0.0,
        end: Annotated[Rate, CHANCES] = 0.5,
        epochs: Annotated[int, Range(1)] = 10,
        shape: Annotated[str, OneOf("linear", "cosine")] = "linear",
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        if shape not in SHAPES:
            raise ConfigError(f"balance_modalities.shape={shape} is unknown. {nearest(shape, SHAPES)}")
        if epochs < 1:
            raise ConfigError(f"balance_modalities.epochs={epochs} must be at least 1.")
        for key, rate in (("start", start), ("end", end)):
            for value in rate.values() if isinstance(rate, Mapping) else [rate]:
                if not 0 <= value < 1:
                    raise ConfigError(f"balance_modalities.{key}={value} must be at least 0 and below 1.")
        self.start, self.end, self.epochs, self.shape = start, end, epochs, shape

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Checks the names.

        Raises:
            ConfigError: there is one modality, or a rate is for one that there is not.
        """
        names = need_several(pl_module.model, "modality_dropout_schedule")  # type: ignore[arg-type]
        for rate in (self.start, self.end):
            for name in rate if isinstance(rate, Mapping) else ():
                if name not in names:
                    raise ConfigError(f"balance_modalities names '{name}', no modality. {nearest(name, names)}")

    def rates(self, epoch: int, names: list[str]) -> dict[str, float]:
        """p of an epoch, counted from 0, by modality."""
        done = min(1.0, epoch / self.epochs)
        share = done if self.shape == "linear" else (1 - math.cos(math.pi * done)) / 2
        first, last = of_each(self.start, names), of_each(self.end, names)
        return {name: first[name] + (last[name] - first[name]) * share for name in names}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Takes modalities away, in place, before the model sees the batch."""
        rates = self.rates(trainer.current_epoch, list(batch.inputs))
        means: Any = pl_module.means
        for name, rate in rates.items():
            means["train"].add(f"modality_dropout/{name}", torch.tensor(rate, device=batch.rows.device), 1)
        if any(rates.values()):
            drop(batch, Augmentation(modality_dropout=rates), self.seed, trainer.current_epoch)


def of_each(rate: Rate, names: list[str]) -> dict[str, float]:
    """A rate by modality."""
    return {name: float(rate.get(name, 0.0)) if isinstance(rate, Mapping) else float(rate) for name in names}


def drop(batch: Batch, augmentation: Augmentation, seed: int, epoch: int) -> None:
    """Blanks the masks of what each sample of a batch loses in an epoch, in place."""
    names = list(batch.inputs)
    present = torch.stack([batch.inputs[name]["mask"].any(1) for name in names], 1).tolist()  # (B, M)
    kept = torch.zeros(len(batch), len(names), dtype=torch.bool)
    for place, (row, here) in enumerate(zip(batch.rows.tolist(), present, strict=True)):
        there = [name for name, one in zip(names, here, strict=True) if one]
        stay = augmentation.kept(there, sample_draw(seed, epoch, row)) if there else []
        kept[place] = torch.tensor([name in stay for name in names])
    for number, name in enumerate(names):
        batch.inputs[name] = without(batch.inputs[name], kept[:, number].to(batch.rows.device))


def without(inputs: Inputs, kept: Tensor) -> Inputs:
    """Inputs of one encoder in which only the samples ``kept`` (B,) bool have the modality."""
    changed = {**inputs, "mask": inputs["mask"] & kept.unsqueeze(1)}
    if FRESH in inputs:  # samples that the store lacks have a mask of their own
        name = f"{PART}mask"
        changed[name] = inputs[name] & kept[inputs[FRESH]].unsqueeze(1)
    return changed
