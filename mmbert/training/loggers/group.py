"""The loggers of a run: built from the config group ``logger``, and called together.

A logger's trouble never fails a run that is otherwise in order: what is raised while figures or tables are shown is
logged as a warning. All of it happens on global rank 0 alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.init_args import find_class
from mmbert.runs.folder import RunFolder
from mmbert.runs.modality_weights import curves_over_epochs
from mmbert.runs.naming import fusion_name, group_name, modalities_label, modality_names
from mmbert.training.instantiate import make
from mmbert.training.loggers.base import LoggedRun, RunLogger
from mmbert.training.loggers.csv import HistoryLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.predictions import PredictionTable

#: ``logger.kind`` in configs of earlier versions -> the class that it stood for.
FORMER_KINDS = {
    "wandb": "mmbert.training.loggers.wandb.WandbRunLogger",
    "csv": "mmbert.training.loggers.csv.HistoryLogger",
    "tensorboard": "mmbert.training.loggers.tensorboard.TensorBoardRunLogger",
    "mlflow": "mmbert.training.loggers.mlflow.MLflowRunLogger",
    "none": None,
}
#: Most letters of a tag that W&B takes.
TAG_LENGTH = 64

log = logging.getLogger(__name__)


class RunLoggers:
    """Several loggers as one.

    Args:
        loggers: what Lightning's trainer is given; those that are no ``RunLogger`` get numbers alone.
    """

    def __init__(self, loggers: Iterable[Logger]) -> None:
        self.loggers = list(loggers)

    @property
    def num_samples(self) -> int:
        """How many test samples the loggers want; 0 where none shows samples."""
        return max((logger.num_samples for logger in self.loggers if isinstance(logger, RunLogger)), default=0)

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """See ``RunLogger.show_summary``."""
        self._each("show_summary", summary)

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """See ``RunLogger.show_figures``."""
        self._each("show_figures", figures)

    def show_charts(self, table: PredictionTable, split: str) -> None:
        """See ``RunLogger.show_charts``."""
        self._each("show_charts", table, split)

    def show_modality_weights(self, by_epoch: Sequence[Mapping[str, Any]]) -> None:
        """See ``RunLogger.show_modality_weights``; nothing where the fusion has none.

        Args:
            by_epoch: ``val_by_epoch`` of ``diagnostics.json``.
        """
        if curves := curves_over_epochs(by_epoch):
            self._each("show_modality_weights", curves)

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """See ``RunLogger.show_samples``."""
        self._each("show_samples", rows, split)

    def show_model(self, folder: Path) -> None:
        """See ``RunLogger.show_model``."""
        self._each("show_model", folder)

    def close(self, error: BaseException | None = None) -> None:
        """Ends the run with every logger.

        Args:
            error: why the run failed; None if it did not.
        """
        for logger in self.loggers:
            call_safely(logger, "finalize", "success" if error is None else "failed")
        self._each("close", error is not None, error)

    def _each(self, method: str, *args: Any) -> None:
        if is_rank_zero():
            for logger in self.loggers:
                if isinstance(logger, RunLogger):
                    call_safely(logger, method, *args)


def call_safely(logger: Logger, method: str, *args: Any) -> None:
    """Calls a method; what it raises becomes a warning, for the run's own files are there and its numbers stand."""
    try:
        getattr(logger, method)(*args)
    except Exception as error:
        log.warning("%s failed at '%s': %s: %s", type(logger).__name__, method, type(error).__name__, error)


def start_loggers(options: Mapping[str, Any], folder: RunFolder, config: Mapping[str, Any]) -> RunLoggers:
    """The run's loggers, ready to log: always ``history.csv``, and the one that the options name.

    Args:
        options: the config group ``logger``; without a ``_target_`` there is no logger, not even ``history.csv``.
        folder: of the run.
        config: the run's resolved config.

    Raises:
        ConfigError: there is no such class, it is no logger, or its tool is not installed or not set up.
    """
    options = with_target(options)
    if not options.get("_target_"):
        return RunLoggers([])
    if is_rank_zero():
        folder.path.mkdir(parents=True, exist_ok=True)
    run = LoggedRun(folder, config, default_name(config), group_name(config, folder.path), tuple(own_tags(config)))
    loggers: list[Logger] = [HistoryLogger(run)]
    kind = logger_class(str(options["_target_"]))
    if kind is not HistoryLogger and not (issubclass(kind, RunLogger) and not kind.is_enabled(options)):
        given = {"run": run} if issubclass(kind, RunLogger) else {}
        loggers.append(make(OmegaConf.create(dict(options)), **given))
    return RunLoggers(loggers)


def with_target(options: Mapping[str, Any]) -> dict[str, Any]:
    """The config group ``logger`` as it is written today: ``kind: csv`` of an earlier version becomes a ``_target_``.

    Raises:
        ConfigError: the kind is unknown.
    """
    current = dict(options)
    if "kind" in current and "_target_" not in current:
        kind = current.pop("kind") or "none"
        if kind not in FORMER_KINDS:
            raise ConfigError(f"logger.kind='{kind}' is unknown. {nearest(kind, FORMER_KINDS)}")
        current["_target_"] = FORMER_KINDS[kind]
    return current


def logger_class(target: str) -> type[Logger]:
    """The class that a config names.

    Raises:
        ConfigError: there is none of this name, or it is no logger.
    """
    found = find_class(target)
    if not (isinstance(found, type) and issubclass(found, Logger)):
        raise ConfigError(f"logger._target_={target} must be a subclass of mmbert.training.loggers.base.RunLogger.")
    return found


def default_name(config: Mapping[str, Any]) -> str:
    """``concat text+image+audio seed 0``."""
    parts = [fusion_name(config), modalities_label(config)]
    if config.get("seed") is not None:
        parts.append(f"seed {config['seed']}")
    return " ".join(part for part in parts if part)


def own_tags(config: Mapping[str, Any]) -> list[str]:
    """What every run can be found by: ``fusion:concat``, ``text:minilm``, ``seed:0``."""
    tags = {"fusion": fusion_name(config), "seed": config.get("seed")}
    for name in modality_names(config):
        part = config["encoders"][name]
        tags[name] = part.get("name") or str(part.get("_target_", "")).rpartition(".")[2]
    return [f"{key}:{value}"[:TAG_LENGTH] for key, value in tags.items() if value is not None and value != ""]
