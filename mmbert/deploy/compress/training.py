"""Trains what was cut, or a student, with the project's own training: each becomes a run's folder like any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmbert.data.datamodule import MultimodalData
from mmbert.deploy.compress.distillation import Distillation
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import write_job
from mmbert.runs.peak_memory import PeakMemory
from mmbert.runs.start import clear_earlier, run_lock
from mmbert.training.build import Parts, build, make_modality_balance, make_monitors
from mmbert.training.instantiate import make
from mmbert.training.run import Stopwatch, train_and_measure
from mmbert.training.task_configs import class_column_of

#: Makes the parts of a run from its config.
PartsMaker = Callable[[DictConfig], Parts]


def unfreeze(model: MultimodalModel) -> None:
    """Lets every encoder learn, also one that was frozen: what was cut out of it is made up for by the rest."""
    for encoder in model.named_encoders().values():
        encoder.frozen = False
        encoder.requires_grad_(True)
        if getattr(encoder, "token_cache", None) is not None:
            encoder.token_cache = None  # type: ignore[assignment]


def parts_of_model(model: MultimodalModel) -> PartsMaker:
    """What makes the parts of a run that trains a model on: data, balance and monitor are those of the config."""

    def made(cfg: DictConfig) -> Parts:
        tasks, encoders = model.named_tasks(), model.named_encoders()
        label = class_column_of(tasks)
        data: MultimodalData = make(cfg.data, seed=cfg.seed, label=label, augment=make(cfg.augment))
        data.bind(
            {name: encoder.processor for name, encoder in encoders.items()},
            {name: task.without_weights() for name, task in tasks.items()},
        )
        if cfg.get("task_sampling") is not None:
            data.draw_by_task(str(cfg.task_sampling), [name for name, task in tasks.items() if task.weight])
        monitor, of_tasks = make_monitors(cfg, tasks, data)
        balance = make(cfg.balance, tasks=tasks)
        return Parts(data, model, balance, monitor, {}, make_modality_balance(cfg, data), of_tasks)

    return made


def distilled_parts(teach: Callable[[Parts], Distillation]) -> PartsMaker:
    """What makes the parts of a run as its config says, with a teacher's answers added to the loss."""

    def made(cfg: DictConfig) -> Parts:
        parts = build(cfg)
        return dataclasses.replace(parts, modality_balance=teach(parts))

    return made


def train_variant(cfg: DictConfig, folder: Path, make_parts: PartsMaker) -> Path:
    """Trains and leaves a run's folder, which replaces one that was there; returns its saved model's folder.

    Args:
        cfg: of ``mmbert-train``.
        folder: that everything goes to.
        make_parts: what is trained.

    Raises:
        MmbertError: an option, a file or a row is at fault.
        FolderInUse: another process trains there.
    """
    run = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(run), PeakMemory() as memory:
        clear_earlier(run, False)
        write_job(run, cfg, None)
        run.write_start(cfg)
        train_and_measure(cfg, run, memory, Stopwatch(), make_parts=make_parts)
    return run.model


def training_config(cfg: DictConfig, epochs: int, seed: int) -> DictConfig:
    """A run's config as a variant is trained: so many epochs, no trackers, no plots, nothing taken from elsewhere."""
    made: DictConfig = OmegaConf.create(OmegaConf.to_container(cfg))  # type: ignore[assignment]
    changes = {"seed": seed, "logger": {}, "plots": False, "robustness": None, "encoders_from": None, "compile": False}
    for name, value in changes.items():
        OmegaConf.update(made, name, value, merge=False, force_add=True)
    for name, value in {"max_epochs": epochs, "max_steps": -1, "min_epochs": None, "min_steps": None}.items():
        OmegaConf.update(made, f"trainer.{name}", value, force_add=True)
    return made
