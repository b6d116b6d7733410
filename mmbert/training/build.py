"""Config -> objects. The only file that calls ``instantiate``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.moved import current_path
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.model import MultimodalModel
from mmbert.model.hub import fetch, is_hub_name
from mmbert.model.initial_weights import load_initial_weights
from mmbert.runs.folder import model_in
from mmbert.tasks.base import Task
from mmbert.training.modality_balance.base import ModalityBalance
from mmbert.training.modality_balance.dropout_schedule import ModalityDropoutSchedule
from mmbert.training.monitor import Monitor, choose_monitor

if TYPE_CHECKING:
    from torch import nn

DEFAULT_LABEL = "label"


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        data: connected to the model's preprocessing and labels.
        model: encoders, fusion and tasks.
        balance: weighs the tasks' losses.
        monitor: the validation metric that chooses the checkpoint.
        taken: where encoders have their first weights from, by name, if ``encoders_from`` says so.
        modality_balance: keeps modalities from outshining each other, or None.
    """

    data: MultimodalData
    model: MultimodalModel
    balance: nn.Module
    monitor: Monitor
    taken: dict[str, str] = field(default_factory=dict)
    modality_balance: ModalityBalance | None = None


def build(cfg: DictConfig) -> Parts:
    """Everything a run trains, from its resolved config.

    Cheap checks come first, so that a wrong column is told before any weights are loaded.

    Raises:
        MmbertError: an option, a file or a row is at fault; the message says which.
    """
    encoder_cfgs = {name: part for name, part in cfg.encoders.items() if part}
    if not encoder_cfgs:
        raise ConfigError(
            "Every encoder is 'none'. Leave at least one in: text=minilm, image=resnet_mini, audio=melspec_cnn."
        )
    data: MultimodalData = make(cfg.data, seed=cfg.seed, label=class_column(cfg), augment=make(cfg.augment))
    data.require_columns(encoder_cfgs)
    task_cfgs = all_tasks(cfg, data)
    learned = {name: fit_labels(task_cfg, data) for name, task_cfg in task_cfgs.items()}
    encoders: dict[str, Encoder] = {
        name: make(part, **learned_width(name, part, data)) for name, part in encoder_cfgs.items()
    }
    taken = load_initial_weights(encoders, plain(cfg.get("encoders_from")), saved_model)
    fusion = make(cfg.fusion, dims={name: encoder.out_dim for name, encoder in encoders.items()})
    tasks: dict[str, Task] = {
        name: make(part, **{**learned[name], **widths(part, fusion.out_dim, fusion.dims)})
        for name, part in task_cfgs.items()
    }
    model = MultimodalModel(encoders, fusion, tasks)
    data.bind(
        {name: encoder.processor for name, encoder in encoders.items()},
        {name: task.without_weights() for name, task in tasks.items()},
    )
    balance, monitor = make(cfg.balance, tasks=tasks), choose_monitor(cfg.monitor, tasks)
    return Parts(data, model, balance, monitor, taken, make_modality_balance(cfg, data))


def make_modality_balance(cfg: DictConfig, data: MultimodalData) -> ModalityBalance | None:
    """What the group ``balance_modalities`` says; None for ``none``, and for configs from before there was the group.

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


def learned_width(name: str, part: DictConfig, data: MultimodalData) -> dict[str, int]:
    """The width of an encoder of ready vectors, where the config leaves it to the table."""
    if "width" not in part or part.width is not None:
        return {}
    width = data.vector_width(name, modality_of(get_class(part._target_)), part)
    return {} if width is None else {"width": width}


def make(part: DictConfig, **extra: Any) -> Any:
    """``instantiate`` with plain containers, and a user's mistake told as one.

    Raises:
        ConfigError: the target does not exist or refuses its options.
    """
    target = part.get("_target_")
    if target is not None and current_path(target) != target:
        part = OmegaConf.merge(part, {"_target_": current_path(target)})
    try:
        # extra does not pass through OmegaConf, which would read a class called "${x}" as an interpolation
        return instantiate(part, _convert_="all", _partial_=True)(**extra)
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise ConfigError(f"{part.get('_target_')} cannot be found or built: {cause}") from error
    except TypeError as error:
        if f"{error}".startswith(f"{str(part.get('_target_')).rpartition('.')[2]}.__init__()"):
            raise ConfigError(f"{part.get('_target_')} cannot be built: {error}") from error
        raise


def class_column(cfg: DictConfig) -> str | None:
    """The column that splits are stratified by, from the config of a run's tasks; see ``first_classes``."""
    configured = [part for part in cfg.tasks.values() if part]
    if not configured:
        return DEFAULT_LABEL
    named = [part for part in configured if part.get("column") and not OmegaConf.is_missing(part, "column")]
    return first_classes([(task_class(part).kind, part.column) for part in named])


def class_column_of(tasks: Mapping[str, Task]) -> str | None:
    """The same of built tasks, so that a saved model finds the splits that it was trained on."""
    return first_classes([(task.kind, column) for task in tasks.values() for column in task.columns])


def first_classes(tasks: Sequence[tuple[str, str]]) -> str | None:
    """Of tasks, each its kind and a column: the first classification's column, or the one called ``label``."""
    found = next((column for kind, column in tasks if kind == "classification"), None)
    return found or next((column for _, column in tasks if column == DEFAULT_LABEL), None)


def task_class(part: DictConfig) -> type[Task]:
    """The class that a task's config names.

    Raises:
        ConfigError: there is none, or it is no task.
    """
    try:
        found = get_class(part.get("_target_") or "")
    except Exception as error:  # whatever the module raises as it is imported
        raise ConfigError(f"{part.get('_target_')} cannot be found: {error}") from error
    if not issubclass(found, Task):
        raise ConfigError(f"{part._target_} is no task: it must be a subclass of mmbert.tasks.base.Task.")
    return found


def all_tasks(cfg: DictConfig, data: MultimodalData) -> dict[str, DictConfig]:
    """The configured tasks; without any, one task on the column called ``label``.

    Raises:
        ConfigError: there is neither a task nor such a column.
    """
    from mmbert.tasks.infer_kind import infer_kind

    configured = {name: part for name, part in cfg.tasks.items() if part}
    if configured:
        for name, part in configured.items():
            if OmegaConf.is_missing(part, "column"):
                raise ConfigError(
                    f"The task '{name}' has no column. Say where its labels are: tasks.{name}.column=COLUMN. "
                    f"Columns: {', '.join(data.column_names)}."
                )
        return configured
    if not data.has_column(DEFAULT_LABEL):
        raise ConfigError(
            f"No task is configured and {data.path} has no column '{DEFAULT_LABEL}'. Add one, for example: "
            f"+task@tasks.mine=classification tasks.mine.column=COLUMN. Columns: {', '.join(data.column_names)}."
        )
    kind = infer_kind(data.cells(DEFAULT_LABEL))
    text = resources.files("mmbert.conf").joinpath(f"task/{kind}.yaml").read_text(encoding="utf-8")
    part = OmegaConf.create(text)
    assert isinstance(part, DictConfig)
    part.column = DEFAULT_LABEL
    return {DEFAULT_LABEL: part}


def fit_labels(task_cfg: DictConfig, data: MultimodalData) -> dict[str, Any]:
    """What a task learns from the train split's labels, less what the config fixes.

    Raises:
        ConfigError: the column does not exist, or the target is no task.
        DataError: the labels are none for this task.
    """
    kind, column = task_class(task_cfg), task_cfg.get("column")
    if column is None:
        return {}
    if not data.has_column(column):
        raise ConfigError(f"{data.path} has no column '{column}'. {nearest(column, data.column_names)}")
    accepted = inspect.signature(kind.fit_labels).parameters
    options = {str(key): value for key, value in task_cfg.items() if key in accepted and key != "column"}
    try:
        learned = kind.fit_labels(data.cells(column), column, **options)
    except DataError as error:
        raise DataError(f"{data.path}: {error}") from error
    return {key: value for key, value in learned.items() if task_cfg.get(key) is None}


def widths(part: DictConfig, out_dim: int, dims: Mapping[str, int]) -> dict[str, Any]:
    """What a task is given of the fusion: ``in_dim``, and ``dims`` if it asks for the modalities' widths too."""
    asks = "dims" in inspect.signature(task_class(part).__init__).parameters
    return {"in_dim": out_dim} | ({"dims": dict(dims)} if asks else {})


def plain(part: Any) -> Any:
    """A config node as plain dictionaries and lists, interpolations resolved."""
    return OmegaConf.to_container(part, resolve=True) if OmegaConf.is_config(part) else part
