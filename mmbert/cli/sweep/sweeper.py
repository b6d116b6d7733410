"""The jobs of a sweep, which of them are done, and the results of the others: the sweeper of mmbert-train -m.

It differs from Hydra's basic one in three ways: a batch in which a job failed stops no later batch, jobs know their
folders before they start (so two of them cannot share one), and ``study.resume=true`` leaves out what is done.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from mmbert.cli.failures import SweepFailed
from mmbert.cli.options.quoting import in_quotes, quoted_words
from mmbert.cli.options.values import without_hydra
from mmbert.cli.sweep.planned_configs import PlannedConfigs
from mmbert.core.errors import ConfigError
from mmbert.core.folder_lock import folder_lock
from mmbert.core.whole_files import write_whole_text
from mmbert.runs.folder import RunFolder

#: What whoever finds a sweep's folder in use can do.
SHARING = (
    "wait until it has ended, or name another folder: hydra.sweep.dir=FOLDER. Several processes share the jobs of a "
    "sweep if each is started with study.resume=true"
)


@dataclass(frozen=True)
class PlannedJob:
    """A job of a sweep before it starts.

    Attributes:
        words: its options.
        folder: below the sweep's folder, where it will write.
        hash: of what its numbers depend on.
        subdir: the same place, as ``hydra.sweep.subdir``.
    """

    words: list[str]
    folder: Path
    hash: str
    subdir: str


class StudySweeper(Sweeper):
    """Runs every combination of the swept values with the chosen launcher.

    Args:
        max_batch_size: so many jobs are handed to the launcher at once; None = all.
        params: the swept values by option, where an experiment file says them.
    """

    def __init__(self, max_batch_size: int | None = None, params: dict[str, Any] | None = None) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.configs: PlannedConfigs | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before it sweeps."""
        self.config, self.hydra_context = config, hydra_context
        self.configs = PlannedConfigs(hydra_context.config_loader)
        remembering = HydraContext(config_loader=self.configs, callbacks=hydra_context.callbacks)  # type: ignore[arg-type]
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=remembering, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Runs what is to be run.

        Raises:
            ConfigError: the sweep's folder holds runs already, and nobody asked to resume them; or another sweep runs
                there.
            SweepFailed: at the end, if jobs failed.
        """
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        words = quoted_words([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(words)
        jobs = self.plan(BasicSweeper.split_arguments(overrides, None)[0])
        folder = Path(str(self.config.hydra.sweep.dir))
        resume = bool(self.config.study.resume) if "study" in self.config else False
        with folder_lock(folder, SHARING, shared=resume):
            return self.run_jobs(unfinished_jobs(jobs, folder) if resume else refuse_existing_runs(jobs), folder)

    def run_jobs(self, todo: list[PlannedJob], folder: Path) -> list[Sequence[JobReturn]]:
        """Launches the jobs, batch by batch.

        Raises:
            SweepFailed: at the end, if jobs failed.
        """
        assert self.config is not None and self.launcher is not None
        write_whole_text(folder / "multirun.yaml", OmegaConf.to_yaml(self.config))
        results: list[Sequence[JobReturn]] = []
        size = self.max_batch_size or max(1, len(todo))
        for start in range(0, len(todo), size):
            batch = todo[start : start + size]
            launched = [[*job.words, f"hydra.sweep.subdir={in_quotes(job.subdir)}"] for job in batch]
            results.append(self.launcher.launch(launched, initial_job_idx=sum(map(len, results))))
        raise_failures(results)
        return results

    def plan(self, jobs: list[list[str]]) -> list[PlannedJob]:
        """Composes every job, which finds what cannot be composed, and gives each a folder of its own."""
        assert self.config is not None and self.hydra_context is not None
        from mmbert.cli.options.custom_class import drop_unaccepted_of_job
        from mmbert.cli.options.subset import keep_subset
        from mmbert.runs.job import job_hash

        planned, configs = [], self.configs or PlannedConfigs(self.hydra_context.config_loader)
        for number, words in enumerate(jobs):
            cfg = configs.planned(self.config, words)
            with open_dict(cfg):
                cfg.hydra.job.id = cfg.hydra.job.num = number
            with as_job(cfg):
                subdir = str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
                own = without_hydra(cfg)
                drop_unaccepted_of_job(own, words)
                keep_subset(own)
                planned.append((words, Path(str(cfg.hydra.sweep.dir)), job_hash(own), subdir))
        uses = Counter(subdir for *_, subdir in planned)
        return [
            PlannedJob(words, sweep / name, digest, name)
            for words, sweep, digest, subdir in planned
            for name in [subdir if uses[subdir] == 1 else f"{subdir}-{digest[:8]}"]
        ]


@contextmanager
def as_job(cfg: DictConfig) -> Iterator[None]:
    """Within the context, ``${hydra:...}`` resolves to this job's values."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def refuse_existing_runs(jobs: list[PlannedJob]) -> list[PlannedJob]:
    """All jobs of a new sweep.

    Raises:
        ConfigError: runs lie in their folders already.
    """
    for job in jobs:
        try:
            RunFolder(job.folder).refuse_taken()
        except ConfigError as error:
            raise ConfigError(f"{error}. study.resume=true runs only what is missing or failed") from None
    return jobs


def unfinished_jobs(jobs: list[PlannedJob], sweep: Path) -> list[PlannedJob]:
    """The jobs that have not finished, wherever in the sweep's folder the others lie; prints a summary line.

    A job whose folder is another's by now gets one of its own.
    """
    from mmbert.reporting.collect import find_runs
    from mmbert.runs.job import read_job_hash

    found = {read_job_hash(RunFolder(run)): run for run in find_runs(sweep)} if sweep.is_dir() else {}
    done = {digest for digest, run in found.items() if RunFolder(run).ended}
    todo = []
    for job in jobs:
        if job.hash in done:
            continue
        here, theirs = found.get(job.hash), read_job_hash(RunFolder(job.folder))
        if here is not None:
            job = PlannedJob(job.words, here, job.hash, str(here.relative_to(sweep)))
        elif theirs not in (None, job.hash):
            name = f"{job.subdir}-{job.hash[:8]}"
            job = PlannedJob(job.words, sweep / name, job.hash, name)
        todo.append(job)
    going_on = sum(RunFolder(job.folder).resumable for job in todo)
    parts = [f"{len(jobs) - len(todo)} of {len(jobs)} jobs are done"]
    if todo:
        parts.append(f"{len(todo)} to run" + (f", {going_on} of them from a checkpoint" if going_on else ""))
    print(f"{sweep}: {'; '.join(parts)}", file=sys.stderr)
    return todo


def raise_failures(results: Sequence[Sequence[JobReturn]]) -> None:
    """Tells that jobs failed, when all have ended.

    Raises:
        SweepFailed: some did.
    """
    errors: list[Any] = [job._return_value for batch in results for job in batch if job.status == JobStatus.FAILED]
    if errors:
        raise SweepFailed(errors)
