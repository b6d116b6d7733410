"""Trackers: which ones a run reports to, what they are shown, and how they are told that it is over.

A tracker's trouble never costs a run that is otherwise in order: what goes wrong while pictures or tables are shown is
logged as a warning. Everything here acts on global rank zero alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import Logger

from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import is_rank_zero
from mmbert.runs.modality_weights import gates_over_epochs
from mmbert.runs.naming import fusion_name, group_name, modalities_label, modality_names
from mmbert.training.loggers.csv import HistoryLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.predictions import PredictionTable

KINDS = ("wandb", "csv", "tensorboard", "mlflow", "none")
#: as many test samples as ``log_samples`` shows when a config does not say
SAMPLES = 32

log = logging.getLogger(__name__)


def make_loggers(
    options: Mapping[str, Any] | str,
    run_dir: Path,
    run_config: Mapping[str, Any],
    name: str | None = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Sequence[str] = (),
) -> list[Logger]:
    """The run's loggers, begun: a ``history.csv`` always, and the tracker of ``options``; nothing for ``none``.

    Args:
        options: the config group ``logger``, or its ``kind`` alone.
        run_dir: where local copies go.
        run_config: the run's resolved config.
        name: what the tracker calls the run, unless ``options`` says.
        group: what it files the run under; by default its study, or the sweep's folder.
        job_type: ``train`` by default.
        tags: added to those of ``options``, beside those that every run has (``own_tags``).

    Raises:
        ConfigError: an unknown kind, or a tracker that is not installed or not set up.
    """
    given: dict[str, Any] = {"kind": options} if isinstance(options, str) else dict(options)
    kind = given.pop("kind", None) or "none"
    if kind not in KINDS:
        raise ConfigError(f"logger.kind='{kind}' is unknown. {nearest(kind, KINDS)}")
    if kind == "none":
        return []
    if is_rank_zero():
        run_dir.mkdir(parents=True, exist_ok=True)
    loggers: list[Logger] = [HistoryLogger(run_dir)]
    if kind == "csv":
        return loggers
    given["name"] = given.get("name") or name or default_name(run_config)
    given["group"] = given.get("group") or group or group_name(run_config, run_dir)
    given["job_type"] = given.get("job_type") or job_type or "train"
    given["tags"] = list(dict.fromkeys([*(given.get("tags") or ()), *tags, *own_tags(run_config)]))
    if kind == "wandb":
        from mmbert.training.loggers.wandb import start_wandb

        tracker: Logger | None = start_wandb(given, run_dir, run_config)
    elif kind == "mlflow":
        from mmbert.training.loggers.mlflow import start_mlflow

        tracker = start_mlflow(given, run_config)
    else:
        from mmbert.training.loggers.tensorboard import start_tensorboard

        tracker = start_tensorboard(given, run_dir, run_config)
    return loggers if tracker is None else [*loggers, tracker]


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
    # wandb takes 64 letters
    return [f"{key}:{value}"[:64] for key, value in tags.items() if value is not None and value != ""]


def sample_limit(loggers: Iterable[Logger]) -> int:
    """How many test samples the trackers want to be shown; 0 where there is none that shows samples."""
    return max((getattr(logger, "samples", 0) for logger in loggers), default=0)


def log_samples(loggers: Iterable[Logger], rows: Sequence[Mapping[str, Any]], split: str = "test") -> None:
    """Shows samples with what the model made of them.

    Args:
        loggers: those of ``make_loggers``.
        rows: a sample each: its ``row``, what each encoder reads by name (a text, an ``InputFile``, or None), and what
            else is to be shown, such as ``answer/target`` and ``answer/prediction``.
        split: what the samples are of.
    """
    _each(loggers, "show_samples", rows, split)


def log_figures(loggers: Iterable[Logger], figures: Mapping[str, Figure]) -> None:
    """Shows pictures, by name. The caller closes them."""
    _each(loggers, "show_figures", figures)


def log_charts(loggers: Iterable[Logger], table: PredictionTable, split: str = "test") -> None:
    """Shows confusion matrices and ROC curves as the tracker's own interactive charts, where it has such."""
    _each(loggers, "show_charts", table, split)


def log_gates(loggers: Iterable[Logger], by_epoch: Sequence[Mapping[str, Any]]) -> None:
    """Shows what weight each modality had behind each epoch, as the tracker's own chart, where it has such.

    Args:
        loggers: those of ``make_loggers``.
        by_epoch: ``val_by_epoch`` of ``diagnostics.json``.
    """
    if gates := gates_over_epochs(by_epoch):
        _each(loggers, "show_gates", gates)


def log_summary(loggers: Iterable[Logger], summary: Mapping[str, Any]) -> None:
    """A run's final numbers, those that a tracker lists and sorts runs by."""
    _each(loggers, "summarise", summary)


def log_model(loggers: Iterable[Logger], folder: Path) -> None:
    """Hands the saved model to trackers that were told to keep it (``logger.log_model=true``)."""
    _each(loggers, "keep_model", folder)


def finish(loggers: Iterable[Logger], failed: bool, error: BaseException | None = None) -> None:
    """Ends the run with every tracker, so that the next job of a sweep begins its own.

    Args:
        loggers: those of ``make_loggers``.
        failed: marks it as failed.
        error: why, if known.
    """
    for logger in loggers:
        _safely(logger, "finalize", "failed" if failed else "success")
    _each(loggers, "end", failed, error)


def _each(loggers: Iterable[Logger], method: str, *args: Any) -> None:
    """Calls a method of the loggers that have it."""
    if not is_rank_zero():
        return
    for logger in loggers:
        if hasattr(logger, method):
            _safely(logger, method, *args)


def _safely(logger: Logger, method: str, *args: Any) -> None:
    try:
        getattr(logger, method)(*args)
    except Exception as error:  # whatever it is, the run's own files are there and its numbers stand
        log.warning("%s failed at '%s': %s: %s", type(logger).__name__, method, type(error).__name__, error)
