"""``checkpoint.per_task=true``: beside the run's best checkpoint, the best one of each task by its own main metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class
from mmbert.runs.folder import RunFolder
from mmbert.training.monitor import Monitor


class TaskCheckpoint(ModelCheckpoint):
    """Keeps the weights of the validation at which one task was best, one file whatever the number of epochs.

    The file is without the state of the optimiser: nothing goes on from it.

    Args:
        task: its name.
        monitor: the metric that chooses.
        folder: of the run.
    """

    def __init__(self, task: str, monitor: Monitor, folder: RunFolder) -> None:
        super().__init__(
            dirpath=str(folder.checkpoints),
            filename=f"best_{task}",
            monitor=monitor.name,
            mode=monitor.mode,
            save_top_k=1,
            save_weights_only=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.task, self.chosen_by = task, monitor


def task_checkpoints(cfg: DictConfig, monitors: Mapping[str, Monitor], folder: RunFolder) -> list[TaskCheckpoint]:
    """One for each task; none unless the config asks for them, and where there is one task alone.

    Args:
        cfg: of the run.
        monitors: what chooses for each task that is trained and labelled on the validation split.
        folder: of the run.

    Raises:
        ConfigError: the config leaves no choice among checkpoints.
    """
    if not cfg.checkpoint.get("per_task") or len(monitors) < 2:
        return []
    targets = [find_class(part._target_) for part in cfg.callbacks.values() if part]
    if not any(isinstance(found, type) and issubclass(found, ModelCheckpoint) for found in targets):
        raise ConfigError("checkpoint.per_task=true chooses among checkpoints, but there is no callbacks.checkpoint.")
    if cfg.trainer.enable_checkpointing is False:
        raise ConfigError("checkpoint.per_task=true saves checkpoints, but trainer.enable_checkpointing=false.")
    return [TaskCheckpoint(name, monitor, folder) for name, monitor in monitors.items()]


def kept_for_tasks(callbacks: Iterable[object]) -> list[TaskCheckpoint]:
    """Those of a trainer's callbacks that have kept a checkpoint, their metric having had a value."""
    own = [one for one in callbacks if isinstance(one, TaskCheckpoint) and one.best_model_path]
    return [one for one in own if one.best_model_score is not None and math.isfinite(float(one.best_model_score))]
