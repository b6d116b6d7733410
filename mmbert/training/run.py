"""One run from start to finish: fit, choose the checkpoint on validation, measure the test splits, write it all down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn

from mmbert.training import console, plots, record, tracking
from mmbert.training.build import Parts, build, make
from mmbert.training.devices import check_devices
from mmbert.training.module import FusionModule
from mmbert.training.monitor import Monitor


def run(cfg: DictConfig, run_dir: Path) -> float:
    """Trains what the config describes and leaves everything in ``run_dir``.

    Args:
        cfg: the composed config of ``mmbert-train``.
        run_dir: an existing folder, Hydra's output folder of this job.

    Returns:
        The monitored validation metric of the chosen checkpoint, for sweepers.
    """
    started = time.monotonic()
    check_devices(cfg.trainer)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    record.write_start(run_dir, cfg)
    with record.PeakMemory() as memory:
        parts = build(cfg)
        console.announce(cfg, parts.model, run_dir)
        loggers = tracking.make_loggers(config["logger"], run_dir, config)
        finished = False
        try:
            results = fit_and_test(cfg, parts, loggers, run_dir)
            results.extra |= {"wall_seconds": time.monotonic() - started, "peak_memory_mib": memory.peak_mib()}
            write_results(cfg, parts, results, loggers, run_dir)
            finished = True
        finally:
            tracking.finish(loggers, failed=not finished)
    console.print_results(results.metrics, parts.data.test_splits, run_dir)
    return results.score


class Results:
    """What a finished run has measured, all of it with the weights of one checkpoint."""

    def __init__(self, module: FusionModule, monitor: Monitor, score: float) -> None:
        self.module = module
        self.monitor = monitor
        self.score = score
        self.metrics: dict[str, float] = {}
        self.predictions: dict[str, Any] = {}
        self.checkpoint: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}


def fit_and_test(cfg: DictConfig, parts: Parts, loggers: list[Any], run_dir: Path) -> Results:
    """Trains, goes back to the best checkpoint, and measures every test split once."""
    optimizer = make(cfg.optimizer)
    schedule = make(cfg.scheduler)

    def optimize(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
        made: dict[str, Any] = optimizer.build(model, balance, steps, schedule)
        return made

    module = FusionModule(parts.model, parts.balance, optimize, optimizer.penalty)
    if cfg.compile:
        module.model.compile()
    checkpoints = run_dir / "checkpoints"
    callbacks = make_callbacks(cfg, parts.monitor, checkpoints)
    trainer: pl.Trainer = make(cfg.trainer, logger=loggers, callbacks=callbacks, default_root_dir=str(run_dir))
    began = time.monotonic()
    trainer.fit(module, train_dataloaders=parts.data.train_dataloader(), val_dataloaders=parts.data.val_dataloader())
    fit_seconds = time.monotonic() - began
    if trainer.interrupted:
        raise KeyboardInterrupt
    results = Results(module, parts.monitor, restore_best(trainer, module, parts.monitor))
    results.checkpoint = describe_checkpoint(trainer, parts.monitor, results.score, run_dir)
    results.extra = {"fit_seconds": fit_seconds, "steps": trainer.global_step, "epochs": trainer.current_epoch}
    for split in ["val", *parts.data.test_splits]:
        table = module.begin_test(split)
        measured = trainer.test(module, dataloaders=parts.data.loader(split), verbose=False)[0]
        results.metrics |= {key: float(value) for key, value in measured.items() if key.startswith(f"{split}/")}
        results.predictions[split] = table
    return results


def make_callbacks(cfg: DictConfig, monitor: Monitor, checkpoints: Path) -> list[Callback]:
    """The configured callbacks, told what is monitored and where checkpoints go."""
    callbacks: list[Callback] = []
    for name, part in cfg.callbacks.items():
        if not part:
            continue
        given = {key: part.get(key) for key in ("monitor", "mode") if key in part}
        fill = {"monitor": monitor.name, "mode": monitor.mode} if "monitor" in given and not given["monitor"] else {}
        if name == "checkpoint":
            fill["dirpath"] = str(checkpoints)
        callbacks.append(make(part, **fill))
    callbacks.append(console.progress_bar())
    return callbacks


def restore_best(trainer: pl.Trainer, module: FusionModule, monitor: Monitor) -> float:
    """Loads the best checkpoint's weights into the module; returns its monitored value.

    Without a checkpoint callback the last weights stay, and the value is the last validation's.
    """
    saver = trainer.checkpoint_callback
    if isinstance(saver, ModelCheckpoint) and saver.best_model_path:
        state = torch.load(saver.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"])
        return float(saver.best_model_score) if saver.best_model_score is not None else float("nan")
    return float(trainer.callback_metrics.get(monitor.name, float("nan")))


def describe_checkpoint(trainer: pl.Trainer, monitor: Monitor, score: float, run_dir: Path) -> dict[str, Any]:
    """Which weights the numbers come from."""
    saver = trainer.checkpoint_callback
    described = {"path": None, "epoch": trainer.current_epoch, "step": trainer.global_step}
    if isinstance(saver, ModelCheckpoint) and saver.best_model_path:
        path = Path(saver.best_model_path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        described = {"path": str(path.relative_to(run_dir)), "epoch": state["epoch"], "step": state["global_step"]}
    return {**described, "monitor": monitor.name, "mode": monitor.mode, "value": score}
