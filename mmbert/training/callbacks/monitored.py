"""Watches the metrics that choose checkpoints and stop training: whether they are measured, and have a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from mmbert.core.errors import ConfigError, TrainingError, nearest
from mmbert.training.callbacks.console import print_line
from mmbert.training.validation_schedule import ValidationSchedule, why_no_validation


class MonitoredMetrics(Callback):
    """Refuses a training that would never validate, and says when a metric that was to decide has no value.

    Must come before the callbacks that read the metrics.

    Args:
        names: of the metrics.

    Attributes:
        seen: of each metric, validations at which it had a value, and at which it had none.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.seen = {name: [0, 0] for name in names}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Refuses what ends before its first validation.

        Raises:
            ConfigError: says which option is at fault, and what to do.
        """
        why = why_no_validation(schedule_of(trainer)) if any(map(is_validated, self.seen)) else None
        if why is not None:
            raise ConfigError(refusal(why, self.seen))

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Counts, after each validation of the training, and warns at the first without a value.

        Raises:
            TrainingError: there is no such metric.
        """
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        for name, counts in self.seen.items():
            value = trainer.callback_metrics.get(name)
            if value is None:
                if is_validated(name):
                    raise TrainingError(f"{name} is not measured. {nearest(name, trainer.callback_metrics)}")
                continue
            lacking = math.isnan(float(value))
            counts[lacking] += 1
            if lacking and counts[True] == 1:
                print_line(f"warning   {name} has no value after epoch {trainer.current_epoch + 1}: it is not the best")

    def never_had_a_value(self, name: str) -> bool:
        """Whether a metric was measured, and had no value any time."""
        with_value, without = self.seen.get(name, (0, 0))
        return bool(without) and not with_value

    def state_dict(self) -> dict[str, Any]:
        """The counts: a run that goes on has seen what it saw before."""
        return {"seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the counts."""
        self.seen |= {name: list(counts) for name, counts in state_dict["seen"].items() if name in self.seen}


def is_validated(name: str) -> bool:
    """Whether a metric comes from a validation."""
    return name.startswith("val/")


def refusal(why: str, names: Iterable[str]) -> str:
    """What to say of a training without validation, given why there is none and what was to decide."""
    return (
        f"{why}, so {' and '.join(filter(is_validated, names))} cannot choose a checkpoint or stop the training. "
        "To train without either: callbacks=none"
    )


def schedule_of(trainer: pl.Trainer) -> ValidationSchedule:
    """When a trainer validates; it must have begun."""
    interval = trainer.val_check_batch
    return ValidationSchedule(
        batches=trainer.num_training_batches,
        accumulate=trainer.accumulate_grad_batches,
        max_epochs=-1 if trainer.max_epochs is None else trainer.max_epochs,
        max_steps=trainer.max_steps,
        every_n_epochs=trainer.check_val_every_n_epoch,
        interval=interval,
        validates=trainer.enable_validation,
    )
