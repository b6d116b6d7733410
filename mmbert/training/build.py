"""Config -> the parts of a run: what can be checked cheaply is checked, labels are learnt, then everything is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.fusion.base import Fusion
from mmbert.model import MultimodalModel
from mmbert.model.hub import fetch, is_hub_name
from mmbert.model.initial_weights import load_initial_weights
from mmbert.runs.folder import model_in
from mmbert.tasks.base import Task
from mmbert.training.balance.compatible import check_balance, check_balance_of
from mmbert.training.instantiate import make, resolved
from mmbert.training.language_models import language_models
from mmbert.training.modality_balance.base import ModalityBalance
from mmbert.training.modality_balance.dropout_schedule import ModalityDropoutSchedule
from mmbert.training.monitor import Monitor, check_callbacks, choose_monitor, task_monitors, undefined_metrics
from mmbert.training.sharding.compatible import check_sharding
from mmbert.training.task_configs import all_tasks, class_column, fit_labels, given_arguments
from mmbert.training.validation_schedule import validated_rows


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        data: bound to the model's preprocessing and labels.
        model: encoders, fusion and tasks.
        balance: weighs the tasks' losses.
        monitor: the validation metric that chooses the checkpoint.
        initial_weights: the saved model that an encoder's first weights come from, by encoder name.
        modality_balance: balances the modalities' learning, or None.
        task_monitors: by task that is trained and labelled on validation, what chooses a checkpoint of its own.
    """

    data: MultimodalData
    model: MultimodalModel
    balance: nn.Module
    monitor: Monitor
    initial_weights: dict[str, str] = field(default_factory=dict)
    modality_balance: ModalityBalance | None = None
    task_monitors: dict[str, Monitor] = field(default_factory=dict)


def build(cfg: DictConfig, rows: Mapping[str, np.ndarray] | None = None) -> Parts:
    """Everything a run trains, from its resolved config; a wrong column is reported before any weights are loaded.

    Args:
        cfg: of the run.
        rows: of the table by split, in place of those that the config gives; whatever is learnt from train is learnt
            from these.

    Raises:
        MmbertError: an option, a file or a row is at fault; the message says which.
    """
    # check
    check_balance(cfg)
    check_sharding(cfg)
    encoder_configs = chosen_encoders(cfg)
    data: MultimodalData = make(cfg.data, seed=cfg.seed, label=class_column(cfg), augment=make(cfg.augment))
    if rows is not None:
        data.rows, data.splits = dict(rows), {name: name for name in rows}
    data.read_as({name: modality_of(find_class(part._target_)) for name, part in encoder_configs.items()})
    data.require_columns(encoder_configs)
    task_configs = all_tasks(cfg, data)
    # learn
    labels = {name: fit_labels(part, data) for name, part in task_configs.items()}
    learned = {name: learned_inputs(name, part, data) for name, part in encoder_configs.items()}
    # make
    encoders: dict[str, Encoder] = {name: make(part, **learned[name]) for name, part in encoder_configs.items()}
    initial_weights = load_initial_weights(encoders, resolved(cfg.get("encoders_from")), saved_model)
    fusion: Fusion = make(cfg.fusion, dims={name: encoder.out_dim for name, encoder in encoders.items()})
    columns = {name: data.column_of(name) for name in encoders if data.has_column(data.column_of(name))}
    tasks = make_tasks(task_configs, labels, fusion, columns)
    model = MultimodalModel(encoders, fusion, tasks)
    data.bind(
        {name: encoder.processor for name, encoder in encoders.items()},
        {name: task.without_weights() for name, task in tasks.items()},
    )
    if cfg.get("task_sampling") is not None:
        data.draw_by_task(str(cfg.task_sampling), [name for name, task in tasks.items() if task.weight])
    balance = make(cfg.balance, tasks=tasks)
    check_balance_of(balance, fusion)
    monitor, of_tasks = make_monitors(cfg, tasks, data)
    return Parts(data, model, balance, monitor, initial_weights, make_modality_balance(cfg, data), of_tasks)


def make_monitors(
    cfg: DictConfig, tasks: Mapping[str, Task], data: MultimodalData
) -> tuple[Monitor, dict[str, Monitor]]:
    """What chooses the checkpoint, and a checkpoint for each task, once it is known that validation can give it.

    What callbacks monitor themselves is checked too.

    Raises:
        ConfigError: it cannot.
    """
    unlabelled = [name for name, task in tasks.items() if not data.has_labels("val", task)]
    undefined = undefined_metrics(tasks, data, validated_rows(cfg.trainer, data), unlabelled)
    check_callbacks(cfg.callbacks, tasks, unlabelled, undefined)
    return choose_monitor(cfg.monitor, tasks, unlabelled, undefined), task_monitors(tasks, unlabelled, undefined)


def chosen_encoders(cfg: DictConfig) -> dict[str, DictConfig]:
    """The encoders that the config leaves in, by name.

    Raises:
        ConfigError: there are none.
    """
    chosen = {str(name): part for name, part in cfg.encoders.items() if part}
    if not chosen:
        raise ConfigError(
            "Every encoder is 'none'. Leave at least one in: text=minilm, image=resnet_mini, audio=melspec_cnn."
        )
    return chosen


def make_tasks(
    configs: Mapping[str, DictConfig],
    labels: Mapping[str, Mapping[str, Any]],
    fusion: Fusion,
    columns: Mapping[str, str],
) -> dict[str, Task]:
    """The tasks by name, with what they learnt from the labels, the widths of the fusion and the inputs' columns."""
    with language_models(configs) as assets:
        return {
            name: make(
                part,
                **{
                    **labels[name],
                    **given_arguments(part, fusion.out_dim, fusion.dims, columns),
                    **assets.get(name, {}),
                },
            )
            for name, part in configs.items()
        }


def make_modality_balance(cfg: DictConfig, data: MultimodalData) -> ModalityBalance | None:
    """The object of the group ``balance_modalities``; None for ``none``, and for configs that lack the group.

    Raises:
        ConfigError: it is of no such class, or ``augment`` drops modalities too.
    """
    part = cfg.get("balance_modalities")
    if not part:
        return None
    made = make(part, seed=cfg.seed)
    if not isinstance(made, ModalityBalance):
        raise ConfigError(
            f"{part._target_} must be a subclass of {ModalityBalance.__module__}.{ModalityBalance.__name__}."
        )
    if isinstance(made, ModalityDropoutSchedule) and data.augment is not None and data.augment.modality_dropout:
        raise ConfigError(
            "augment.modality_dropout and balance_modalities=modality_dropout_schedule exclude each other."
        )
    return made


def saved_model(place: str) -> Path:
    """The folder of a saved model: the ``model/`` of a run, a model's own folder, or a copy of ``user/name``'s."""
    return fetch(place) if is_hub_name(place) else model_in(Path(place))


def learned_inputs(name: str, part: DictConfig, data: MultimodalData) -> dict[str, Any]:
    """The arguments that an encoder learns from the rows of train, see ``Encoder.learned``."""
    kind = find_class(part._target_)
    if not issubclass(kind, Encoder):
        return {}
    return kind.learned(part, data.train_cells(name, kind.modality_with(part)))
