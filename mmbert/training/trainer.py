"""The Lightning side of a run: module, callbacks and trainer, made from the config and the run's parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class
from mmbert.core.privacy import Privacy
from mmbert.runs.folder import RunFolder
from mmbert.training.build import Parts
from mmbert.training.callbacks import console
from mmbert.training.callbacks.checkpoint import LastCheckpoint
from mmbert.training.callbacks.checkpoint_file import WholeCheckpoints
from mmbert.training.callbacks.diagnostics import EpochDiagnostics
from mmbert.training.callbacks.early_stopping import EarlyStopping
from mmbert.training.callbacks.fitted_heads import FittedHeads
from mmbert.training.callbacks.monitored import MonitoredMetrics, is_validated, refusal
from mmbert.training.callbacks.skipped_rows import SkippedRows
from mmbert.training.callbacks.step_times import StepTimes
from mmbert.training.callbacks.task_checkpoints import task_checkpoints
from mmbert.training.instantiate import make
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.module import FusionModule, OptimizerMaker
from mmbert.training.monitor import Monitor
from mmbert.training.private.budget import PrivateOptions
from mmbert.training.private.module import PrivateModule
from mmbert.training.validation_schedule import planned_schedule, why_no_validation


@dataclass(frozen=True)
class Training:
    """What trains, and what is read from it afterwards.

    Attributes:
        module: the model with its losses and metrics.
        trainer: Lightning's.
        step_times: of the optimiser's steps.
        skipped: rows that could not be used.
        epochs: diagnostics of each epoch.
        monitored: the metrics that choose checkpoints and stop the training.
    """

    module: FusionModule
    trainer: pl.Trainer
    step_times: StepTimes
    skipped: SkippedRows
    epochs: EpochDiagnostics
    monitored: MonitoredMetrics


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
    module = make_module(cfg, parts, make_optimizer, optimizer.penalty)
    if cfg.compile:
        module.compile_model()
    own = task_checkpoints(cfg, parts.task_monitors, folder)
    names = [*monitored_names(cfg, parts.monitor, bool(more_callbacks)), *(saver.chosen_by.name for saver in own)]
    module.monitored = list(dict.fromkeys(names))
    step_times, skipped, epochs = StepTimes(), SkippedRows(Privacy.of(cfg.get("privacy"))), EpochDiagnostics()
    monitored = MonitoredMetrics(module.monitored)
    # step times first: they exclude the other callbacks
    callbacks: list[Callback] = [step_times, skipped, epochs, monitored]
    callbacks += [parts.modality_balance] if parts.modality_balance is not None else []
    callbacks += [FittedHeads(parts.data)] if any(task.fits_head for task in module.tasks.values()) else []
    callbacks += more_callbacks
    callbacks += [*configured_callbacks(cfg, parts.monitor, folder), *own]
    bar = bool(cfg.trainer.get("enable_progress_bar", True))
    callbacks += [console.progress_display(parts.monitor.name)] if bar else []
    if cfg.trainer.enable_checkpointing is not False:
        # last, for it saves the state of all others
        callbacks.append(LastCheckpoint(folder, cfg.checkpoint.every_minutes, fingerprint))
    with trainer_options():
        trainer: pl.Trainer = make(
            cfg.trainer,
            logger=loggers.loggers,
            callbacks=callbacks,
            default_root_dir=str(folder.path),
            enable_progress_bar=bar and console.on_terminal(),
            plugins=[*configured_plugins(cfg), WholeCheckpoints()],
        )
    return Training(module, trainer, step_times, skipped, epochs, monitored)


def make_module(
    cfg: DictConfig, parts: Parts, make_optimizer: OptimizerMaker, penalty: Callable[[nn.Module], Tensor] | None
) -> FusionModule:
    """What trains: by DP-SGD with ``privacy=dp``."""
    options = PrivateOptions.of(cfg.get("privacy"))
    if options is None:
        return FusionModule(parts.model, parts.balance, make_optimizer, penalty, parts.modality_balance)
    samples, batch_size = len(parts.data.rows["train"]), parts.data.batch_size
    return PrivateModule(
        parts.model, parts.balance, make_optimizer, options, samples, batch_size, int(cfg.seed), console.print_line
    )


def optimizer_maker(optimizer: Any, schedule: Any) -> OptimizerMaker:
    """What the module calls when the number of optimiser steps is known."""

    def make_optimizer(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
        built: dict[str, Any] = optimizer.build(model, balance, steps, schedule)
        return built

    return make_optimizer


def configured_callbacks(cfg: DictConfig, monitor: Monitor, folder: RunFolder) -> list[Callback]:
    """The callbacks of the config; where they leave it open they monitor ``monitor`` and save to the run's folder."""
    return [
        make(own_class(part), **callback_defaults(part, monitor, folder)) for part in cfg.callbacks.values() if part
    ]


def own_class(part: DictConfig) -> DictConfig:
    """A callback's config with our class in place of Lightning's, where we have one of the same name and options."""
    if find_class(part._target_) is not LightningEarlyStopping:
        return part
    return DictConfig({**part, "_target_": f"{EarlyStopping.__module__}.{EarlyStopping.__name__}"})


def monitored_names(cfg: DictConfig, monitor: Monitor, searched: bool = False) -> list[str]:
    """The metrics that callbacks of the config read, and a search if there is one, each once, in order."""
    parts = [part for part in cfg.callbacks.values() if part and "monitor" in part]
    names = [monitor.name if part.monitor is None else str(part.monitor) for part in parts]
    return list(dict.fromkeys([*names, *([monitor.name] if searched else [])]))


def refuse_without_validation(cfg: DictConfig, parts: Parts, searched: bool = False) -> None:
    """Refuses options with which training ends before a metric that is to decide can be measured.

    Args:
        cfg: of the run.
        parts: what it trains.
        searched: whether a search reads the metric too.

    Raises:
        ConfigError: says which option is at fault, and what to do.
    """
    names = monitored_names(cfg, parts.monitor, searched)
    plan = planned_schedule(cfg.trainer, parts.data) if any(map(is_validated, names)) else None
    why = None if plan is None else why_no_validation(plan)
    if why is not None:
        raise ConfigError(refusal(why, names))


@contextmanager
def trainer_options() -> Iterator[None]:
    """A context in which what Lightning says of options that exclude each other becomes a message without traceback.

    Raises:
        ConfigError: Lightning refuses them.
    """
    try:
        yield
    except (MisconfigurationException, ValueError) as error:
        if isinstance(error, ValueError) and "val_check_interval" not in str(error):
            raise
        raise ConfigError(f"Lightning refuses these options of the trainer: {str(error).strip()}") from error


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
