"""A saved model measured on any split of any table, with all of its modalities or without some of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.privacy import Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.quality.cut_inputs import cut_inputs
from mmbert.data.quality.splits import split_remarks
from mmbert.model import MultimodalModel
from mmbert.runs.contents import METRIC_NOTES
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions import PredictionTable
from mmbert.runs.start import run_lock
from mmbert.training.analyses import Analysis, configured_analyses
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.callbacks import console
from mmbert.training.callbacks.skipped_rows import SkippedRows, write_skipped
from mmbert.training.instantiate import make
from mmbert.training.module import FusionModule
from mmbert.training.plots import run_plots as plots
from mmbert.training.resources.devices import check_devices
from mmbert.training.task_configs import class_column_of
from mmbert.training.use_store import read_from_store


@dataclass
class Evaluation:
    """What was measured.

    Attributes:
        metrics: ``SPLIT/TASK/METRIC``. The total loss is not among them: its weights belong to the training.
        predictions: by split.
        facts: which model and data, and the rows that were left out.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    predictions: dict[str, PredictionTable] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def evaluate(
    model: MultimodalModel,
    data_cfg: DictConfig,
    trainer_cfg: DictConfig,
    folder: Path,
    splits: Sequence[str],
    drop: Sequence[str] = (),
    store_cfg: DictConfig | None = None,
    robustness_cfg: DictConfig | None = None,
    privacy: Privacy | None = None,
) -> Evaluation:
    """Measures a model and leaves ``evaluation.json``, predictions, plots and ``skipped.csv`` in a folder.

    Args:
        model: as it was saved.
        data_cfg: a config of the group ``data``.
        trainer_cfg: a config of the group ``trainer``.
        folder: made if it does not exist.
        splits: which; ``["all"]`` = every row of the table.
        drop: encoders whose modality is taken for missing.
        store_cfg: the config's ``store``; None = nothing is stored.
        robustness_cfg: a config of the group ``robustness``; None = nothing of it is measured.
        privacy: what of the samples may be written; None = everything.

    Raises:
        ConfigError: an option is at fault.
        DataError: the table cannot be used, or has no label for any of the tasks.
        FolderInUse: another process writes to the folder.
    """
    console.quiet()
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    check_devices(trainer_cfg)
    check_drop(model, drop)
    tasks = model.named_tasks()
    label = class_column_of(tasks)
    data: MultimodalData = make(data_cfg, seed=0, label=label, augment=None, drop=list(drop), only=list(splits))
    console.print_notes(data.notes)
    console.warn_of([remark.line(data) for remark in split_remarks(data)])
    columns = {name: data.column_of(name) for name in model.named_encoders() if data.has_column(data.column_of(name))}
    for task in tasks.values():
        task.set_input_columns(columns)
    if not any(all(map(data.has_column, task.columns)) for task in tasks.values()):
        labels = ", ".join(f"{name}: '{column}'" for name, task in tasks.items() for column in task.columns)
        raise DataError(
            f"{data.path} has none of the model's label columns ({labels}), so there is nothing to measure. "
            "mmbert-predict answers without labels."
        )
    data.bind(
        {name: encoder.processor for name, encoder in model.named_encoders().items()},
        {name: task.without_weights() for name, task in tasks.items()},
    )
    console.warn_of(cut_inputs(data), None)
    analyses = configured_analyses(robustness_cfg, model, data)
    if store_cfg is not None:
        read_from_store(data, model, store_cfg, trainer_cfg)
    output = RunFolder(folder)
    with run_lock(output, "wait until it has ended, or name another folder: out=FOLDER"):
        done = measure(model, data, trainer_cfg, output, analyses)
        facts = {"splits": list(data.rows), "dropped_modalities": list(drop), "data": str(data.path)}
        done.facts |= {**facts, **data.facts()}
        write_evaluation(done, data, output, Privacy() if privacy is None else privacy)
    return done


def check_drop(model: MultimodalModel, drop: Sequence[str]) -> None:
    """Refuses names that are no modality of the model, and to take away all.

    Raises:
        ConfigError: names it.
    """
    names = list(model.named_encoders())
    for name in drop:
        if name not in names:
            raise ConfigError(f"drop={name}: the model has no such modality. {nearest(name, names)}")
    if set(drop) == set(names):
        raise ConfigError(f"drop=[{','.join(drop)}] leaves nothing to predict from: keep one of {', '.join(names)}.")


def measure(
    model: MultimodalModel,
    data: MultimodalData,
    trainer_cfg: DictConfig,
    folder: RunFolder,
    analyses: Sequence[Analysis] = (),
) -> Evaluation:
    """Runs the model over every split of the data, and measures what else is asked for."""
    module = FusionModule(model, FixedBalance(model.named_tasks()), no_optimizer)
    skipped = SkippedRows()
    bar = [console.progress_display()] if trainer_cfg.get("enable_progress_bar", True) and console.on_terminal() else []
    trainer: pl.Trainer = make(
        trainer_cfg,
        logger=False,
        callbacks=[skipped, *bar],
        enable_checkpointing=False,
        enable_progress_bar=bool(bar),
        default_root_dir=str(folder.path),
    )
    done = Evaluation()
    for split in data.rows:
        table = module.begin_test(split)
        trainer.test(module, dataloaders=data.loader(split), verbose=False)
        done.metrics |= {key: value for key, value in module.numbers.items() if key != f"{split}/loss"}
        done.predictions[split] = table.gather()
    if module.notes:
        done.facts[METRIC_NOTES] = dict(module.notes)
    for analysis in analyses:
        done.facts |= analysis.measure(model, data, trainer, folder)
    data.skipped |= skipped.gather()
    return done


def write_evaluation(done: Evaluation, data: MultimodalData, folder: RunFolder, privacy: Privacy) -> None:
    """Leaves the files, by the first process alone."""
    folder.write_evaluation(done.metrics, done.facts)
    for split, table in done.predictions.items():
        table.private(privacy).write(folder.predictions_of(split))
    first = next(iter(done.predictions))
    plots.write_plots(done.predictions[first], first, folder.plots)
    write_skipped(folder.skipped, data.table, data.skipped, privacy)


def no_optimizer(*args: Any) -> Any:
    """Nothing is trained here."""
    raise AssertionError("an evaluation has no optimiser")
