"""A run's config trained anew on other rows of its table: the model of one fold of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, open_dict

from mmbert.runs.folder import RunFolder
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.training.build import Parts, build
from mmbert.training.callbacks.console import print_line
from mmbert.training.fit import fit, restore_best
from mmbert.training.instantiate import resolved
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.resources.devices import encoding_device
from mmbert.training.run import seed_everything
from mmbert.training.trainer import make_training
from mmbert.training.tune import tune_tasks
from mmbert.training.use_store import progress_bar


def fit_on_rows(cfg: DictConfig, rows: Mapping[str, np.ndarray], scratch: Path) -> Parts:
    """Trains what a config describes, from the weights that the run itself began with.

    Nothing is learnt from any other row than those of ``train`` and ``val``: not the classes' counts, not the mean and
    spread of numbers, not the choice of the checkpoint.

    Args:
        cfg: of a run.
        rows: of its table by split: ``train``, ``val`` and others, which are only bound to the model.
        scratch: a folder for checkpoints.

    Returns:
        The parts, with the weights of the best checkpoint, in evaluation mode; their data have ``rows``, less those
        that cannot be used.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.trainer.enable_progress_bar = False
        cfg.checkpoint.per_task = False
    folder = RunFolder(scratch)
    seed_everything(cfg)
    parts = build(cfg, rows)
    # what the store held and lacked is told once, by who asks for the folds
    options, device = StoreOptions(**resolved(cfg.store)), encoding_device(cfg.trainer)
    use_store(parts.data, parts.model, options, device, progress_bar, print_line)
    facts: dict[str, Any] = {}
    training = make_training(cfg, parts, folder, RunLoggers([]), facts)
    fit(training, parts.data, None)
    restore_best(training, parts.monitor, folder)
    tune_tasks(training.module, training.trainer, parts.data)
    parts.model.eval()
    return parts
