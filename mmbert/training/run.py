"""One run from start to finish: fit, choose the checkpoint on validation, measure every split once, write it down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import nn

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import TrainingError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of
from mmbert.data.quality.shared import shared_cells
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import write_job
from mmbert.runs.peak_memory import PeakMemory
from mmbert.training.analyses import Analysis, asked_for
from mmbert.training.build import Parts, build, make
from mmbert.training.callbacks import console
from mmbert.training.callbacks.checkpoint import LastCheckpoint, WholeCheckpoints, begun_with, check_same_run
from mmbert.training.callbacks.diagnostics import EpochDiagnostics
from mmbert.training.callbacks.pruning import Pruned, Pruning, Trial
from mmbert.training.callbacks.skipped_rows import SkippedRows, write_skipped
from mmbert.training.callbacks.step_times import StepTimes
from mmbert.training.loggers.group import RunLoggers, start_loggers
from mmbert.training.modality_shares import summary
from mmbert.training.module import FusionModule
from mmbert.training.monitor import Monitor
from mmbert.training.resources.cost import cost_facts
from mmbert.training.resources.devices import check_devices
from mmbert.training.resources.out_of_memory import less_memory, told
from mmbert.training.results import Results, write_results
from mmbert.training.use_store import encode_once


def run(
    cfg: DictConfig,
    run_dir: Path,
    resume: bool = False,
    words: Sequence[str] | None = None,
    flags: Sequence[str] = (),
    search: tuple[Trial | None, str] | None = None,
) -> float:
    """Trains what the config describes and leaves everything in ``run_dir``.

    Args:
        cfg: the composed config of ``mmbert-train``.
        run_dir: an existing folder, Hydra's output folder of this job.
        resume: go on from the last checkpoint in ``run_dir``, if there is one.
        words: the options that the run was started with, None where there was no command line.
        flags: what else stood there.
        search: the trial that this run is of a search, and the direction in which that believes the metric improves.

    Returns:
        The monitored validation metric of the chosen checkpoint, for sweepers; the last one, if a search cut it short.

    Raises:
        MmbertError: an option, a file or a row is at fault, or the machine is full. Why a run failed is also left in
            its ``error.json``.
    """
    started = time.monotonic()
    console.quiet()
    folder = RunFolder(run_dir)
    if not resume and is_rank_zero():
        folder.refuse_taken()
    then = f"What was computed is kept: mmbert-train resume={run_dir} goes on from it."
    try:
        with told(run_dir, less_memory(cfg), then), PeakMemory() as memory:
            folder.write_start(cfg)
            if not (resume and words is None and folder.job.exists()):
                write_job(folder, cfg, words, flags)
            last = folder.last_checkpoint if resume and folder.resumable else None
            check_devices(cfg.trainer)
            results = train_and_measure(cfg, folder, memory, started, last, search)
    except Pruned as pruned:
        folder.write_pruned(pruned.facts)
        console.tell(f"{pruned}: {run_dir}")
        return float(pruned.facts["value"])
    except SIGTERMException as error:
        ended = TrainingError(f"The run was asked to end (SIGTERM). Go on with: mmbert-train resume={run_dir}")
        folder.write_error(ended)
        raise SystemExit(143 if error.code is None else error.code) from None
    except BaseException as error:
        folder.write_error(error)
        raise
    console.print_results(results.metrics, results.test_splits, folder)
    return results.score


def train_and_measure(
    cfg: DictConfig,
    folder: RunFolder,
    memory: PeakMemory,
    started: float,
    last: Path | None = None,
    search: tuple[Trial | None, str] | None = None,
) -> Results:
    """Builds, trains, measures and writes; the trackers are told how it ended, whatever happens."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    # deterministic algorithms stay; filling memory that nobody reads before it is written only costs time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    plain_config = {str(key): value for key, value in config.items()}
    loggers = start_loggers(config["logger"], folder, plain_config)
    failure: BaseException | None = None
    try:
        began = time.monotonic()
        parts = build(cfg)
        built = time.monotonic()
        console.announce(parts.model, folder, parts.taken)
        console.warn_of(shared_cells(parts.data))
        analyses = asked_for(cfg.get("robustness"), parts.model, parts.data)
        uses = encode_once(parts.data, parts.model, cfg.store, cfg.trainer)
        encoded = time.monotonic()
        costs = cost_facts(parts.model, parts.data)
        watch = [] if search is None else [Pruning(search[0], parts.monitor, search[1])]
        results = fit_and_test(cfg, parts, loggers, folder, last, watch, analyses)
        results.facts |= {
            "build_seconds": round(built - began, 2),
            "store_seconds": round(encoded - built, 2),
            "store": {name: asdict(use) for name, use in uses.items()},
            "inputs": inputs_of(parts.data),
            **costs,
            "seed": cfg.seed,
            **parts.data.facts(),
            "wall_seconds": round(time.monotonic() - started, 2),
            "peak_memory_mib": memory.peak_mib(),
            "peak_cuda_memory_mib": memory.peak_cuda_mib(),
        }
        write_results(results, parts, loggers, folder, plain_config)
        write_skipped(folder.skipped, parts.data.table, parts.data.skipped)
    except Pruned as pruned:
        loggers.show_summary({"pruned": True, **pruned.facts})
        raise
    except BaseException as error:
        failure = error
        raise
    finally:
        loggers.close(failure)
    return results


def inputs_of(data: MultimodalData) -> dict[str, Any]:
    """Where a reader of the run finds its samples: the table, and each encoder's column, kind and manner of showing."""
    encoders = {
        name: {
            "column": data.column_of(name),
            "kind": modality_of(processor).kind,
            "shown_as": modality_of(processor).shown_as,
        }
        for name, processor in data.processors.items()
    }
    return {"table": str(data.path.resolve()), "encoders": encoders}


def fit_and_test(
    cfg: DictConfig,
    parts: Parts,
    loggers: RunLoggers,
    folder: RunFolder,
    last: Path | None = None,
    watch: Sequence[Callback] = (),
    analyses: Sequence[Analysis] = (),
) -> Results:
    """Trains, goes back to the best checkpoint, and measures validation and every test split once with it.

    With ``last``, a checkpoint, training goes on from there; ``watch`` are further callbacks; ``analyses`` is what else
    is measured with the same weights.
    """
    optimizer, schedule = make(cfg.optimizer), make(cfg.scheduler)

    def optimize(model: nn.Module, balance: nn.Module, steps: int) -> dict[str, Any]:
        made: dict[str, Any] = optimizer.build(model, balance, steps, schedule)
        return made

    module = FusionModule(parts.model, parts.balance, optimize, optimizer.penalty, parts.modality_balance)
    if cfg.compile:
        module.model.compile()
    skipped = SkippedRows()
    origin = begun_with(cfg, parts.data)
    if last is not None:
        check_same_run(folder, origin)
    times, epochs = StepTimes(), EpochDiagnostics()
    watch = [*([parts.modality_balance] if parts.modality_balance else []), *watch]
    callbacks = [times, skipped, epochs, *watch, *make_callbacks(cfg, parts.monitor, folder, origin)]
    plugins = [*(make_plugins(cfg)), WholeCheckpoints()]
    trainer: pl.Trainer = make(
        cfg.trainer,
        logger=loggers.loggers,
        callbacks=callbacks,
        default_root_dir=str(folder.path),
        enable_progress_bar=cfg.trainer.enable_progress_bar and console.on_terminal(),
        plugins=plugins,
    )
    began = time.monotonic()
    train, val = parts.data.train_dataloader(), parts.data.val_dataloader()
    trainer.fit(module, train, val, ckpt_path=last, weights_only=True if last else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    checkpoint = restore_best(trainer, module, parts.monitor, folder)
    results = Results(parts.data.test_splits, checkpoint)
    results.facts = {"fit_seconds": round(time.monotonic() - began, 2), "steps": trainer.global_step}
    results.facts["epochs"] = trainer.current_epoch
    results.facts["step_milliseconds"] = times.median()
    for split in ["val", *parts.data.test_splits]:
        table = module.begin_test(split)
        measured = trainer.test(module, dataloaders=parts.data.loader(split), verbose=False)[0]
        results.metrics |= {key: float(value) for key, value in measured.items() if key.startswith(f"{split}/")}
        results.predictions[split] = table.gather()
        shares = module.shares[split]
        if values := shares.values():
            results.shares[split] = values
            results.diagnostics[split] = summary(shares.modalities, values)
    if epochs.by_epoch:
        results.diagnostics["val_by_epoch"] = epochs.by_epoch
    for analysis in analyses:
        results.facts |= analysis.measure(parts.model, parts.data, trainer, folder)
    parts.data.skipped |= skipped.gather()
    return results


def make_callbacks(cfg: DictConfig, monitor: Monitor, folder: RunFolder, origin: dict[str, Any]) -> list[Callback]:
    """The configured callbacks, told what is monitored and where checkpoints go, and a progress display.

    ``origin`` is what a resumed run must agree with.
    """
    callbacks: list[Callback] = []
    for part in cfg.callbacks.values():
        if not part:
            continue
        told: dict[str, Any] = {}
        if "monitor" in part and part.monitor is None:
            told = {"monitor": monitor.name, "mode": monitor.mode}
        if part._target_.endswith("ModelCheckpoint"):
            told["dirpath"] = str(folder.checkpoints)
        callbacks.append(make(part, **told))
    if cfg.trainer.enable_progress_bar:
        callbacks.append(console.progress_display())
    if cfg.trainer.enable_checkpointing is not False:
        # behind all whose state it keeps
        callbacks.append(LastCheckpoint(folder, cfg.checkpoint.every_minutes, origin))
    return callbacks


def make_plugins(cfg: DictConfig) -> list[Any]:
    """The configured plugins of the trainer, as a list."""
    plugins = cfg.trainer.plugins
    if plugins is None:
        return []
    made = make(OmegaConf.create({"_target_": "builtins.dict", "all": plugins}))["all"]
    return list(made) if isinstance(made, list) else [made]


def restore_best(trainer: pl.Trainer, module: FusionModule, monitor: Monitor, folder: RunFolder) -> dict[str, Any]:
    """Loads the best checkpoint's weights into the module; says which weights the numbers come from.

    Without a checkpoint the last weights stay, and the monitored value is the last validation's.
    """
    told = {"monitor": monitor.name, "mode": monitor.mode}
    saver = trainer.checkpoint_callback
    if not (isinstance(saver, ModelCheckpoint) and saver.best_model_path):
        value = trainer.callback_metrics.get(monitor.name)
        last = {"path": None, "epoch": trainer.current_epoch, "step": trainer.global_step}
        return {**last, **told, "value": None if value is None else float(value)}
    state = torch.load(saver.best_model_path, map_location="cpu", weights_only=True)
    module.on_load_checkpoint(state)
    module.load_state_dict(state["state_dict"])
    path = str(Path(saver.best_model_path).relative_to(folder.path.absolute()))
    value = saver.best_model_score
    where = {"path": path, "epoch": state["epoch"], "step": state["global_step"]}
    return {**where, **told, "value": None if value is None else float(value)}
