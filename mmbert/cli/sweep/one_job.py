"""One job of a sweep in a process of a launcher's, what becomes of it when that dies, and the base of our launchers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from mmbert.core.errors import TrainingError
from mmbert.runs.folder import RunFolder


class JobLauncher(Launcher):
    """What launchers of ours have in common: what Hydra gives them, and the jobs by number."""

    def __init__(self) -> None:
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before it launches."""
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def numbered(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[tuple[int, list[str]]]:
        """The jobs with their numbers, once Hydra's log is as the config wants it."""
        assert self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return [(initial_job_idx + place, [*words]) for place, words in enumerate(job_overrides)]

    def lost(self, number: int, words: list[str], why: str) -> JobReturn:
        """What becomes of a job whose process died; its folder says so too."""
        from mmbert.cli.sweep.sweeper import as_job

        assert self.config is not None and self.hydra_context is not None
        failure = TrainingError(why)
        cfg = job_config(number, words, self.hydra_context, self.config)
        with as_job(cfg):
            RunFolder(Path(str(cfg.hydra.sweep.dir)) / str(cfg.hydra.sweep.subdir)).write_error(failure)
        print(f"mmbert-train: job {number} ({' '.join(filter_overrides(words))}): {failure}", file=sys.stderr)
        lost = JobReturn(overrides=list(filter_overrides(words)), cfg=cfg, status=JobStatus.FAILED)
        lost.return_value = failure
        return lost


def job_config(number: int, words: list[str], context: HydraContext, config: DictConfig) -> DictConfig:
    """The config of one job of a sweep, with its ``hydra`` part."""
    cfg = context.config_loader.load_sweep_config(config, list(words))
    with open_dict(cfg):
        cfg.hydra.job.id = cfg.hydra.job.num = number
    return cfg


def run_here(
    number: int,
    words: list[str],
    context: HydraContext,
    config: DictConfig,
    task_function: TaskFunction,
    state: dict[Any, Any],
) -> JobReturn:
    """Runs a job in this process, which a launcher has started.

    Args:
        number: of the job.
        words: its options.
        context: of the sweep's process.
        config: of the sweep.
        task_function: what a job is.
        state: of Hydra's singletons in the sweep's process.
    """
    setup_globals()
    Singleton.set_state(state)
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=job_config(number, words, context, config),
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type's name if it says nothing."""
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__
