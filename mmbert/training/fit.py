"""Training, the choice of the best checkpoint, and the measurement of every split with its weights."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from mmbert.data.datamodule import MultimodalData
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions import PredictionTable
from mmbert.training.callbacks.checkpoint_file import WholeCheckpoints, read_checkpoint, restoring_errors
from mmbert.training.callbacks.process_parts import batch_size_now, process_parts
from mmbert.training.modality_shares import summarise_shares
from mmbert.training.monitor import Monitor
from mmbert.training.results import Results
from mmbert.training.trainer import Training, trainer_options


def fit(training: Training, data: MultimodalData, checkpoint: Path | None) -> None:
    """Trains, from a checkpoint if there is one.

    Raises:
        KeyboardInterrupt: the user stopped it.
        ConfigError: Lightning refuses options of the trainer, or as many processes cannot go on from the checkpoint.
        DataError: the checkpoint is damaged.
    """
    if checkpoint is not None:
        parts = process_parts(read_checkpoint(checkpoint, mmap=True), checkpoint)
        data.batch_size = batch_size_now(parts, data.batch_size, training.trainer.world_size)
    train, val = data.train_dataloader(), data.val_dataloader()
    trainer = training.trainer
    with trainer_options(), restoring_errors(trainer.strategy.checkpoint_io):
        trainer.fit(training.module, train, val, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    if trainer.interrupted:
        raise KeyboardInterrupt


def restore_best(training: Training, monitor: Monitor, folder: RunFolder) -> dict[str, Any]:
    """Loads the best checkpoint's weights into the module; without one, or if none is best, the last weights stay.

    Returns:
        Which weights they are: ``path`` in the run's folder (None without a checkpoint), ``epoch``, ``step``,
        ``monitor``, ``mode``, and the monitored ``value``.
    """
    trainer = training.trainer
    chosen_by = {"monitor": monitor.name, "mode": monitor.mode}
    saver = trainer.checkpoint_callback
    if not (isinstance(saver, ModelCheckpoint) and saver.best_model_path) or nothing_is_best(training) is not None:
        value = trainer.callback_metrics.get(monitor.name)
        last = {"path": None, "epoch": max(trainer.current_epoch - 1, 0), "step": trainer.global_step}  # epochs from 0
        return {**last, **chosen_by, "value": None if value is None else float(value)}
    return load_checkpoint(training, saver, monitor, folder)


def load_checkpoint(training: Training, saver: ModelCheckpoint, monitor: Monitor, folder: RunFolder) -> dict[str, Any]:
    """Loads the weights that a callback found best into the module; which they are, as ``restore_best`` says it."""
    module, io = training.module, training.trainer.strategy.checkpoint_io
    chosen_by = {"monitor": monitor.name, "mode": monitor.mode}
    with restoring_errors(io):
        if isinstance(io, WholeCheckpoints):
            io.restoring = Path(saver.best_model_path)
        state = read_checkpoint(Path(saver.best_model_path))
        module.on_load_checkpoint(state)
        module.load_state_dict(state["state_dict"])
    path = os.path.relpath(os.path.realpath(saver.best_model_path), os.path.realpath(folder.path))
    value = saver.best_model_score
    best = {"path": path, "epoch": state["epoch"], "step": state["global_step"]}
    return {**best, **chosen_by, "value": None if value is None else float(value)}


@contextmanager
def no_logging(trainer: pl.Trainer) -> Iterator[None]:
    """Within the context loggers get nothing: Lightning would file it under the last step, whatever is measured."""
    loggers, trainer.loggers = trainer.loggers, []
    try:
        yield
    finally:
        trainer.loggers = loggers


def log_at(trainer: pl.Trainer, metrics: Mapping[str, float], checkpoint: Mapping[str, Any]) -> None:
    """Hands numbers to the loggers under the epoch and the step of the checkpoint that they were measured with."""
    for logger in trainer.loggers:
        logger.log_metrics({**metrics, "epoch": checkpoint["epoch"]}, checkpoint["step"])


def nothing_is_best(training: Training) -> str | None:
    """Why no checkpoint is the best, if what was to choose it never had a value; None if one is."""
    saver = training.trainer.checkpoint_callback
    name = saver.monitor if isinstance(saver, ModelCheckpoint) else None
    if name is None or not training.monitored.never_had_a_value(name):
        return None
    return (
        f"{name} had no value at any validation, so no checkpoint is the best; what was measured is of the last "
        f"weights. Start a new run with another metric, such as monitor={name.rpartition('/')[0]}/loss"
    )


def measured_split(training: Training, data: MultimodalData, split: str) -> tuple[dict[str, float], PredictionTable]:
    """``SPLIT/TASK/METRIC`` and predictions of a split with the weights that are loaded."""
    table = training.module.begin_test(split)
    with no_logging(training.trainer):
        training.trainer.test(training.module, dataloaders=data.loader(split), verbose=False)
    return dict(training.module.numbers), table.gather()


def measure_splits(training: Training, data: MultimodalData, results: Results, elsewhere: Collection[str] = ()) -> None:
    """Measures validation and every test split once, with the weights that are loaded, and adds it to the results.

    Args:
        training: after the fit.
        data: of the run.
        results: changed in place.
        elsewhere: tasks whose metrics loggers get from another checkpoint.
    """
    module = training.module
    for split in ["val", *data.test_splits]:
        metrics, results.predictions[split] = measured_split(training, data, split)
        if split != "val":  # of which the curves hold what this epoch gave
            shown = {key: value for key, value in metrics.items() if key.split("/")[1] not in elsewhere}
            log_at(training.trainer, shown, results.checkpoint)
        results.metrics |= metrics
        results.notes |= {name: note for name, note in module.notes.items() if name.startswith(f"{split}/")}
        shares = module.shares[split]
        if values := shares.values():
            results.shares[split] = values
            results.diagnostics[split] = summarise_shares(shares.modalities, values)
    if training.epochs.by_epoch:
        results.diagnostics["val_by_epoch"] = training.epochs.by_epoch
