"""The Lightning side of a run: module, callbacks and trainer, made from the config and the run's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn

from mmbert.core.init_args import find_class
from mmbert.runs.folder import RunFolder
from mmbert.training.build import Parts
from mmbert.training.callbacks import console
from mmbert.training.callbacks.checkpoint import LastCheckpoint, WholeCheckpoints
from mmbert.training.callbacks.diagnostics import EpochDiagnostics
from mmbert.training.callbacks.skipped_rows import SkippedRows
from mmbert.training.callbacks.step_times import StepTimes
from mmbert.training.instantiate import make
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.module import FusionModule, OptimizerMaker
from mmbert.training.monitor import Monitor


@dataclass(frozen=True)
class Training:
    """What trains, and what is read from it afterwards.

    Attributes:
        module: the model with its losses and metrics.
        trainer: Lightning's.
        step_times: of the optimiser's steps.
        skipped: rows that could not be used.
        epochs: diagnostics of each epoch.
    """

    module: FusionModule
    trainer: pl.Trainer
    step_times: StepTimes
    skipped: SkippedRows
    epochs: EpochDiagnostics


def make_training(
    cfg: DictConfig,
    parts: Parts,
    folder: RunFolder,
    loggers: RunLoggers,
    fingerprint: dict[str, Any],
    more_callbacks: Sequence[Callback] = (),
) -> Training:
    """Module and trainer of a run.

    Args:
        cfg: its config.
        parts: what is trained, on what.
        folder: that checkpoints go to.
        loggers: of the run.
        fingerprint: what a resumed run must agree with, see ``begun_with``.
        more_callbacks: beside those of the config.
    """
    optimizer = make(cfg.optimizer)
    make_optimizer = optimizer_maker(optimizer, make(cfg.scheduler))
    module = FusionModule(parts.model, parts.balance, make_optimizer, optimizer.penalty, parts.modality_balance)
    if cfg.compile:
        module.model.compile()
    step_times, skipped, epochs = StepTimes(), SkippedRows(), EpochDiagnostics()
    callbacks: list[Callback] = [step_times, skipped, epochs]  # step times first: they exclude the other callbacks
    callbacks += [parts.modality_balance] if parts.modality_balance is not None else []
    callbacks += more_callbacks
    callbacks += configured_callbacks(cfg, parts.monitor, folder)
    callbacks += [console.progress_display()] if cfg.trainer.enable_progress_bar else []
    if cfg.trainer.enable_checkpointing is not False:
        # last, for it saves the state of all others
        callbacks.append(LastCheckpoint(folder, cfg.checkpoint.every_minutes, fingerprint))
    trainer: pl.Trainer = make(
        cfg.trainer,
        logger=loggers.loggers,
        callbacks=callbacks,
        default_root_dir=str(folder.path),
        enable_progress_bar=cfg.trainer.enable_progress_bar and console.on_terminal(),
        plugins=[*configured_plugins(cfg), WholeCheckpoints()],
    )
    return Training(module, trainer, step_times, skipped, epochs)


def optimizer_maker(optimizer: Any, schedule: Any) -> OptimizerMaker:
    """What the module calls when the number of optimiser steps is known."""

    def make_optimizer(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
        built: dict[str, Any] = optimizer.build(model, balance, steps, schedule)
        return built

    return make_optimizer


def configured_callbacks(cfg: DictConfig, monitor: Monitor, folder: RunFolder) -> list[Callback]:
    """The callbacks of the config; where they leave it open they monitor ``monitor`` and save to the run's folder."""
    return [make(part, **callback_defaults(part, monitor, folder)) for part in cfg.callbacks.values() if part]


def callback_defaults(part: DictConfig, monitor: Monitor, folder: RunFolder) -> dict[str, Any]:
    """Arguments of a callback that follow from the run: what is monitored, and where checkpoints go."""
    defaults: dict[str, Any] = {}
    if "monitor" in part and part.monitor is None:
        defaults |= {"monitor": monitor.name, "mode": monitor.mode}
    target = find_class(part._target_)
    if isinstance(target, type) and issubclass(target, ModelCheckpoint):
        defaults |= {"dirpath": str(folder.checkpoints)}
    return defaults


def configured_plugins(cfg: DictConfig) -> list[Any]:
    """The trainer's plugins of the config, as a list."""
    plugins = cfg.trainer.plugins
    if plugins is None:
        return []
    made = make(OmegaConf.create({"_target_": "builtins.dict", "all": plugins}))["all"]
    return list(made) if isinstance(made, list) else [made]
