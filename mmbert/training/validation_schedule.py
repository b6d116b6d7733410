"""When a training validates for the first time, and why it never does: known from the options before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig, ListConfig

from mmbert.data.datamodule import MultimodalData


@dataclass(frozen=True)
class ValidationSchedule:
    """The options of Lightning's trainer that decide about validation, as numbers.

    Attributes:
        batches: of an epoch, in each process; infinite = unknown.
        accumulate: batches to a step of the optimiser.
        max_epochs: -1 = without end.
        max_steps: -1 = without end.
        every_n_epochs: epochs from one validation to the next; None = ``interval`` counts through all epochs.
        interval: batches from one validation to the next; None, or infinite = not counted in batches.
        validates: whether validation has any batch.
    """

    batches: float
    accumulate: int
    max_epochs: int
    max_steps: int
    every_n_epochs: int | None
    interval: float | None
    validates: bool


def why_no_validation(plan: ValidationSchedule) -> str | None:
    """Why a training ends before its first validation, the beginning of a sentence; None if it does not.

    Validation follows a batch, and a batch is trained as long as fewer than ``max_steps`` steps were made before it.
    """
    if not plan.validates:
        return "trainer.limit_val_batches=0 leaves no validation"
    for name, most in (("max_epochs", plan.max_epochs), ("max_steps", plan.max_steps)):
        if most == 0:
            return f"trainer.{name}=0 trains nothing, and there is no validation"
    if plan.batches == 0:
        return "trainer.limit_train_batches leaves nothing to train on, and there is no validation"
    if math.isinf(plan.batches) or plan.interval is None:
        return None
    if plan.every_n_epochs is not None and plan.interval > plan.batches:
        return (
            f"trainer.val_check_interval={plan.interval:g} is more than the {plan.batches:g} batches of an epoch "
            "(trainer.check_val_every_n_epoch=null counts through all epochs)"
        )
    if plan.every_n_epochs is None:
        epochs, last = divmod(int(plan.interval) - 1, int(plan.batches))
    else:
        epochs, last = plan.every_n_epochs - 1, int(plan.interval) - 1
    if 0 <= plan.max_epochs <= epochs:
        which = f"check_val_every_n_epoch={plan.every_n_epochs}" if plan.every_n_epochs else "val_check_interval"
        return f"trainer.max_epochs={plan.max_epochs} ends the training before its first validation (trainer.{which})"
    steps = epochs * math.ceil(plan.batches / plan.accumulate) + last // plan.accumulate
    if 0 <= plan.max_steps <= steps:
        return (
            f"trainer.max_steps={plan.max_steps} ends the training before its first validation, which comes in step "
            f"{steps + 1} (trainer.val_check_interval={plan.max_steps * plan.accumulate} validates in time)"
        )
    return None


def planned_schedule(trainer: DictConfig, data: MultimodalData) -> ValidationSchedule | None:
    """The schedule that a config leads to, before there is a trainer; None where it cannot be known yet."""
    devices, debugging = trainer.get("devices"), trainer.get("fast_dev_run") or trainer.get("overfit_batches")
    counted = isinstance(devices, int) and devices > 0 or isinstance(devices, ListConfig) and len(devices) > 0
    interval = trainer.val_check_interval
    if not counted or debugging or isinstance(interval, (str, dict)):
        return None
    processes = (devices if isinstance(devices, int) else len(devices)) * int(trainer.get("num_nodes") or 1)
    rows = math.ceil(len(data.rows["train"]) / processes)
    batches = limited(math.ceil(rows / data.batch_size), trainer.limit_train_batches)
    share = not isinstance(interval, int)
    return ValidationSchedule(
        batches=batches,
        accumulate=trainer.accumulate_grad_batches,
        max_epochs=-1 if trainer.max_epochs is None else trainer.max_epochs,
        max_steps=trainer.max_steps,
        every_n_epochs=trainer.check_val_every_n_epoch,
        interval=max(1, int(batches * (1.0 if interval is None else interval))) if share else interval,
        validates=trainer.limit_val_batches is None or trainer.limit_val_batches > 0,
    )


def limited(batches: int, limit: Any) -> int:
    """Batches that are left by Lightning's ``limit_…_batches``: a number of them, or a share; None = all."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def validated_rows(trainer: DictConfig, data: MultimodalData) -> np.ndarray:
    """(n,): the rows of the validation split that are read; all of them where that depends on the processes."""
    rows = data.rows["val"]
    limit = trainer.overfit_batches or trainer.fast_dev_run or trainer.limit_val_batches
    if limit is None or trainer.devices != 1 or trainer.num_nodes != 1:
        return rows
    batches = limited(math.ceil(len(rows) / data.eval_batch_size), limit if limit is not True else 1)
    return rows[: batches * data.eval_batch_size] if batches else rows
