"""``mmbert-train``: one run, with ``-m`` a sweep of them, with ``resume=FOLDER`` the rest of one."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any

from mmbert.cli import resume
from mmbert.cli.app import run_app, run_plain

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from mmbert.runs.folder import RunFolder
    from mmbert.training.callbacks.pruning import Trial


def train(cfg: DictConfig) -> float:
    """Trains what the config describes; returns the monitored validation metric, for sweepers."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from mmbert.core.folder_lock import FolderInUse
    from mmbert.runs.folder import RunFolder
    from mmbert.runs.start import run_lock
    from mmbert.training.run import run

    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [word for folder in folders for word in ("--config-dir", str(folder))]
    if hydra.job.config_name != "train":
        flags += ["--config-name", str(hydra.job.config_name)]
    words, search = list(hydra.overrides.task), search_of(cfg, hydra)
    if not goes_on(cfg):
        return run(cfg, run_dir, False, words, flags, search)
    try:
        with run_lock(RunFolder(run_dir)):
            done = value_of_ended(cfg, RunFolder(run_dir))
            if done is not None:
                return done
            return run(cfg, run_dir, continues_run(cfg, run_dir), words, flags, search)
    except FolderInUse as error:
        print(f"{str(error).partition(': ')[0]}: this job is left to it", file=sys.stderr)
        return math.nan


def value_of_ended(cfg: DictConfig, run: RunFolder) -> float | None:
    """What a job gave that another process has ended since the sweep was planned; None if it is still to be run."""
    from mmbert.runs.job import job_hash, read_job_hash

    if not run.ended or read_job_hash(run) != job_hash(cfg):
        return None
    print(f"{run}: another process has done this job meanwhile", file=sys.stderr)
    value = (run.read_pruned() or (run.read_metrics() or {}).get("checkpoint") or {}).get("value")
    return math.nan if value is None else float(value)


def search_of(cfg: DictConfig, hydra: Any) -> tuple[Trial | None, str] | None:
    """The trial that this job is of a search, and the search's direction; None for a job of no search.

    Further processes of a distributed job are started as single runs: they follow the first.
    """
    if cfg.study.trial is None:
        return None
    if "direction" not in hydra.sweeper:
        return None if os.environ.get("LOCAL_RANK", "0") == "0" else (None, "")
    from mmbert.cli.sweep.optuna import trial_of

    return trial_of(hydra, cfg.study.trial), hydra.sweeper.direction


def goes_on(cfg: DictConfig) -> bool:
    """Whether a job goes on with what it finds of itself in its folder.

    It does where the study is resumed, and in a job of submitit's: a sweep begins in a folder without runs, so that
    this job has been there before and was put back into the queue.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from mmbert.training.callbacks.requeue import in_submitit_job

    swept = HydraConfig.get().mode == RunMode.MULTIRUN or "LOCAL_RANK" in os.environ
    return bool(cfg.study.resume) or (swept and in_submitit_job())


def continues_run(cfg: DictConfig, run_dir: Path) -> bool:
    """Whether the folder holds the beginning of this very job, and it is to be resumed.

    What a job left that had no checkpoint yet, or failed by a fault that must have been mended since, is taken away.
    """
    from mmbert.core.distributed import is_rank_zero
    from mmbert.runs.folder import RunFolder
    from mmbert.runs.job import job_hash, read_job_hash

    run = RunFolder(run_dir)
    if not goes_on(cfg) or read_job_hash(run) != job_hash(cfg):
        return False
    if is_rank_zero() and (not run.resumable or run.crashed):
        run.clear()
    return True


def main() -> None:
    """Entry point of the console script."""
    if resume.asks_to_resume(sys.argv[1:]):
        run_plain(resume.resume, "mmbert-train")
        return
    run_app(train, config_name="train")


if __name__ == "__main__":
    main()
