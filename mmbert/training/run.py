"""One run from start to finish: each line of ``train_and_measure`` is a step, in a file of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import TrainingError
from mmbert.core.privacy import Privacy
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of
from mmbert.data.quality.cut_inputs import cut_inputs
from mmbert.data.quality.labels import label_remarks, unlabelled_splits
from mmbert.data.quality.shared import shared_cells
from mmbert.data.quality.splits import split_remarks
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import write_job
from mmbert.runs.peak_memory import PeakMemory
from mmbert.runs.start import clear_earlier, run_lock, what_is_kept
from mmbert.training.analyses import configured_analyses
from mmbert.training.build import Parts, build
from mmbert.training.callbacks import console
from mmbert.training.callbacks.checkpoint import begun_with, check_same_run
from mmbert.training.callbacks.pruning import Pruned, Pruning, Trial
from mmbert.training.callbacks.skipped_rows import write_skipped
from mmbert.training.fit import fit, measure_splits, nothing_is_best, restore_best
from mmbert.training.instantiate import resolved
from mmbert.training.loggers.group import RunLoggers, start_loggers
from mmbert.training.monitor import hidden_metrics
from mmbert.training.private.prepare import prepare_private, private_facts, spent_line
from mmbert.training.resources.cost import cost_facts
from mmbert.training.resources.devices import check_devices
from mmbert.training.resources.lost_process import explain_lost_process, workers_were_ended
from mmbert.training.resources.out_of_memory import explain_out_of_memory, less_memory, writing_places
from mmbert.training.results import Results, write_results
from mmbert.training.resumed_config import check_whole, resumed_config, with_processes_as_begun
from mmbert.training.task_results import measure_tasks, tasks_with_checkpoints
from mmbert.training.trainer import make_training, refuse_without_validation
from mmbert.training.tune import tune_tasks
from mmbert.training.use_store import read_from_store

#: The trial of a search that a run is (None in processes that do not report), and the direction of the search.
Search = tuple[Trial | None, str]


def run(
    cfg: DictConfig,
    run_dir: Path,
    resume: bool = False,
    words: Sequence[str] | None = None,
    flags: Sequence[str] = (),
    search: Search | None = None,
) -> float:
    """Trains what the config describes and leaves everything in ``run_dir``.

    Args:
        cfg: the composed config of ``mmbert-train``.
        run_dir: an existing folder, Hydra's output folder of this job.
        resume: go on from the last checkpoint in ``run_dir``, if there is one.
        words: the options that the run was started with, None where there was no command line.
        flags: what else stood there.
        search: the trial of a search that this run is, and the direction in which the search takes the metric to
            improve.

    Returns:
        The monitored validation metric of the chosen checkpoint, for sweepers; the last one, if a search ended the run
        early.

    Raises:
        MmbertError: an option, a file or a row is at fault, or the machine is full. Why a run failed is also left in
            its folder.
        FolderInUse: another process trains in ``run_dir``.
    """
    watch = Stopwatch()
    console.quiet()
    folder = RunFolder(run_dir)
    if resume:
        check_whole(cfg, folder.config)
        cfg = resumed_config(cfg, folder)
    with ExitStack() as stack:
        with explain_full_machine(cfg, folder):
            stack.enter_context(run_lock(folder))
            clear_earlier(folder, resume)
        return locked_run(cfg, folder, watch, resume, words, flags, search)


def explain_full_machine(cfg: DictConfig, folder: RunFolder) -> AbstractContextManager[None]:
    """A context in which what the machine refuses is explained; see ``explain_out_of_memory``."""
    places = writing_places(folder.path, cfg.get("store"))
    return explain_out_of_memory(folder.path, less_memory(cfg), lambda: what_is_kept(folder), places)


def locked_run(
    cfg: DictConfig,
    folder: RunFolder,
    watch: Stopwatch,
    resume: bool,
    words: Sequence[str] | None,
    flags: Sequence[str],
    search: Search | None,
) -> float:
    """As ``run``, in a folder whose lock is held; why it fails is left there."""
    try:
        going_on = explain_lost_process(f"Go on with: mmbert-train resume={folder}", folder.write_error)
        with explain_full_machine(cfg, folder), going_on, PeakMemory() as memory:
            # the config comes last: a run that is killed before can be started again as if it had not been
            if not (resume and words is None and folder.job.exists()):
                write_job(folder, cfg, words, flags)
            folder.write_start(with_processes_as_begun(cfg, folder) if resume and folder.resumable else cfg)
            check_devices(cfg.trainer)
            results = train_and_measure(cfg, folder, memory, watch, resume and folder.resumable, search)
    except Pruned as pruned:
        folder.write_pruned(pruned.facts)
        console.print_line(f"{pruned}: {folder}")
        return float(pruned.facts["value"])
    except SIGTERMException as error:
        raise ended_by_sigterm(folder, 143 if error.code is None else error.code) from None
    except SystemExit as error:
        why = f"The run was ended (exit code {error.code}), as by a queue that takes it back."
        folder.write_error(TrainingError(f"{why} Go on with: mmbert-train resume={folder}"))
        raise
    except BaseException as error:
        if workers_were_ended(error):  # schedulers send the signal to all processes of a job, and some do not wait
            raise ended_by_sigterm(folder, 143) from None
        folder.write_error(error, Privacy.of(cfg.get("privacy")))
        raise
    title = console.TASKS_TITLE if cfg.checkpoint.per_task else console.RUN_TITLE
    console.print_results(results.metrics, results.test_splits, folder, title, results.notes, results.hidden)
    if "privacy" in results.facts:
        console.print_line(spent_line(results.facts["privacy"]))
    return results.score


def ended_by_sigterm(folder: RunFolder, code: int | str) -> SystemExit:
    """What ends a run that got SIGTERM; that it did is left in its folder."""
    folder.write_error(TrainingError(f"The run was asked to end (SIGTERM). Go on with: mmbert-train resume={folder}"))
    return SystemExit(code)


def train_and_measure(
    cfg: DictConfig,
    folder: RunFolder,
    memory: PeakMemory,
    watch: Stopwatch,
    resume: bool = False,
    search: Search | None = None,
    make_parts: Callable[[DictConfig], Parts] = build,
) -> Results:
    """Builds, trains, measures and writes.

    Args:
        cfg: the run's config.
        folder: that everything goes to.
        memory: measures the run's peak.
        watch: was started with the run.
        resume: go on from the folder's last checkpoint.
        search: see ``run``.
        make_parts: what is trained, from the config: as it says, or a saved model that was changed.
    """
    seed_everything(cfg)
    config: dict[str, Any] = resolved(cfg)
    with run_loggers(config, folder) as loggers:
        watch.lap()
        parts = make_parts(cfg)
        build_seconds = watch.lap()
        refuse_without_validation(cfg, parts, search is not None)
        prepare_private(cfg, parts)
        announce_run(parts, folder)
        analyses = configured_analyses(cfg.get("robustness"), parts.model, parts.data)
        stored = read_from_store(parts.data, parts.model, cfg.store, cfg.trainer)
        store_seconds = watch.lap()
        costs = cost_facts(parts.model, parts.data)
        fingerprint = begun_with(cfg, parts.data)
        if resume:
            check_same_run(folder, fingerprint)
        pruning = [] if search is None else [Pruning(search[0], parts.monitor, search[1])]
        training = make_training(cfg, parts, folder, loggers, fingerprint, pruning)
        training.module.stored = frozenset(name for name, usage in stored.items() if usage.what == "tokens")
        watch.lap()
        fit(training, parts.data, folder.last_checkpoint if resume else None)
        results = Results(parts.data.test_splits, restore_best(training, parts.monitor, folder))
        results.facts |= {
            "fit_seconds": watch.lap(),
            "steps": training.trainer.global_step,
            "epochs": training.trainer.current_epoch,
            "step_milliseconds": training.step_times.median(),
        }
        results.facts |= private_facts(training.module)
        results.facts |= {"tuned": tune_tasks(training.module, training.trainer, parts.data)}
        results.hidden = hidden_metrics(parts.model.named_tasks(), parts.monitor.name)
        watch.lap()
        measure_splits(training, parts.data, results, tasks_with_checkpoints(training))
        results.facts |= {"measure_seconds": watch.lap()}
        for analysis in analyses:
            results.facts |= analysis.measure(parts.model, parts.data, training.trainer, folder)
        measure_tasks(training, parts.data, results, folder)
        skipped = {**parts.data.skipped, **training.skipped.gather()}
        results.facts |= {
            "build_seconds": build_seconds,
            "store_seconds": store_seconds,
            "store": {name: asdict(usage) for name, usage in stored.items()},
            "inputs": described_inputs(parts.data),
            **costs,
            "seed": cfg.seed,
            **parts.data.facts(),
            "skipped_rows": len(skipped),
            "wall_seconds": watch.total(),
            "peak_memory_mib": memory.peak_mib(),
            "peak_cuda_memory_mib": memory.peak_cuda_mib(),
        }
        write_skipped(folder.skipped, parts.data.table, skipped, Privacy.of(cfg.get("privacy")))
        write_results(results, parts, loggers, folder, config)
        if (fault := nothing_is_best(training)) is not None:
            raise TrainingError(fault)
    return results


class Stopwatch:
    """Seconds, rounded to hundredths: of each lap, and since it was made."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def lap(self) -> float:
        """Since the last lap."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return round(seconds, 2)

    def total(self) -> float:
        """Since the stopwatch was made."""
        return round(time.monotonic() - self._started, 2)


def seed_everything(cfg: DictConfig) -> None:
    """Seeds Python, NumPy and torch, data loaders' workers included."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    # deterministic algorithms stay; filling memory that nobody reads before it is written only costs time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def run_loggers(config: Mapping[str, Any], folder: RunFolder) -> Iterator[RunLoggers]:
    """The run's loggers, closed however the run ends: as failed unless it finished or a search ended it early."""
    loggers = start_loggers(config["logger"], folder, config)
    failure: BaseException | None = None
    try:
        yield loggers
    except Pruned as pruned:
        loggers.show_summary({"pruned": True, **pruned.facts})
        raise
    except BaseException as error:
        failure = Privacy.of(config.get("privacy")).error(error)
        raise
    finally:
        loggers.close(failure)


def announce_run(parts: Parts, folder: RunFolder) -> None:
    """Prints what is about to be trained, what was guessed of the data, and what of its splits may mislead."""
    console.announce(parts.model, folder, parts.initial_weights)
    if parts.monitor.note:
        console.print_line(f"monitor   {parts.monitor.note}")
    console.print_notes(parts.data.notes)
    remarks = [*split_remarks(parts.data), *label_remarks(parts.data, parts.data.tasks)]
    lines = [*(remark.line(parts.data) for remark in remarks), *unlabelled_splits(parts.data, parts.data.tasks)]
    console.warn_of([*lines, *shared_cells(parts.data)])
    if is_rank_zero():
        console.warn_of(cut_inputs(parts.data), None)


def described_inputs(data: MultimodalData) -> dict[str, Any]:
    """Where a reader of the run finds its samples: the table, and each encoder's column, kind and manner of showing.

    Of two columns that are read together ``before`` names the first; those of a record are ``columns``.
    """
    encoders = {
        name: {
            **described_column(data, data.column_of(name)),
            "kind": modality_of(processor).kind,
            "shown_as": modality_of(processor).shown_as,
        }
        for name, processor in data.processors.items()
    }
    return {"table": str(data.path.resolve()), "encoders": encoders}


def described_column(data: MultimodalData, column: str) -> dict[str, Any]:
    """A column as ``described_inputs`` names it."""
    if (pair := data.table.pair_in(column)) is not None:
        return {"column": pair[1], "before": pair[0]}
    record = data.table.record_in(column)
    return {"column": column} if record is None else {"column": record[0], "columns": list(record)}
