"""Going on after an interruption: the state of a run on disk, and a run that starts from it.

``checkpoints/last.ckpt`` is written every so many minutes in mid-epoch and at the end of every epoch. Beside what
Lightning keeps (weights, optimiser, schedule, callbacks, progress) it holds what the next step depends on: the random
states of every process and the sums of the epoch's means. The data need no state: an epoch's order follows from the
seed and the epoch, and the samples that were seen are skipped.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mmbert.core.errors import ConfigError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.poisson import PoissonBatches
from mmbert.data.loading.samplers import SeededSampler, rank_and_world_size
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import LATER_OPTIONS
from mmbert.training.callbacks.checkpoint_file import WholeCheckpoints, read_checkpoint
from mmbert.training.callbacks.moved_run import use_own_checkpoints
from mmbert.training.callbacks.process_parts import (
    STATE,
    EpochPart,
    batch_size_of,
    gathered,
    part_of,
    process_parts,
    random_state,
    restore_random,
    seen_of,
)
from mmbert.training.callbacks.requeue import Requeue
from mmbert.training.loggers.csv import HistoryLogger
from mmbert.training.module import FusionModule

BEGUN = "mmbert_begun_with"
#: Among what a run was begun with: the fingerprint of its table.
TABLE_CONTENT = "the content of data.path"
#: What a checkpoint must have of Lightning's for a run to go on from it.
GOES_ON_FROM = ("callbacks", "loops", "optimizer_states", "lr_schedulers")
#: What may be another when a run goes on: its numbers do not depend on it. Of the table its content counts.
FREE = (
    *(
        "callbacks",
        "logger",
        "checkpoint.every_minutes",
        "study",
        "store.dir",
        "store.max_gib",
        "data.path",
        "data.num_workers",
        "data.pin_memory",
        "data.check_files",
    ),
    *("trainer.accelerator", "trainer.strategy", "trainer.devices", "trainer.num_nodes", "trainer.max_time"),
    *("trainer.inference_mode", "trainer.profiler"),
    *("trainer.enable_progress_bar", "trainer.log_every_n_steps", "privacy.samples", "privacy.mask"),
)


class LastCheckpoint(Checkpoint):
    """Keeps ``last.ckpt`` up to date, and puts back what it holds of this process.

    SIGTERM, which SLURM sends before it takes a machine away, makes all processes save between the same two steps and
    end with exit code 143. Lightning's own answer to it would broadcast from within the signal's handler, wherever
    each process happens to be.

    Args:
        run: the folder whose checkpoint it is.
        every_minutes: how much work a kill may cost; None = what was done since the epoch began.
        begun_with: what ``begun_with`` says of the run.
    """

    def __init__(
        self, run: RunFolder, every_minutes: float | None = 10.0, begun_with: dict[str, Any] | None = None
    ) -> None:
        self.begun_with = begun_with or {}
        self.path = run.last_checkpoint
        self.every_seconds = None if every_minutes is None else 60 * every_minutes
        self._saved = time.monotonic()
        self._held: dict[str, Any] | None = None
        self._asked_to_end = False
        self._requeue = Requeue()
        self._earlier: list[EpochPart] = []
        self._resumed_epoch: int | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *args: Any) -> None:
        """Saves when it is time, between two steps of the optimiser, but not after the last batch of an epoch.

        There the validation comes next, and the epoch's end is saved anyhow.
        """
        loop = trainer.fit_loop.epoch_loop
        if loop.batch_progress.is_last_batch or loop._should_accumulate():
            return
        due = self.every_seconds is not None and time.monotonic() - self._saved >= self.every_seconds
        end = self._asked_to_end
        if trainer.world_size > 1:  # all processes do the same: the first one's clock counts, and anybody's signal
            states: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(states, (due, end))
            due, end = states[0][0], any(asked for _, asked in states)
        if due or end:
            self.save(trainer)
        if end:
            self._end()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Saves after the validation and the choice of the best checkpoint."""
        self.save(trainer)
        if trainer.strategy.reduce_boolean_decision(self._asked_to_end, all=False):
            self._end()

    def save(self, trainer: pl.Trainer) -> None:
        """Writes the file; every process must call it."""
        self._saved = time.monotonic()
        trainer.save_checkpoint(self.path, weights_only=False)

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds every process's random states and means to a checkpoint."""
        assert isinstance(module, FusionModule)
        means = module.means["train"].state_dict()
        rows = [logger.mark() for logger in trainer.loggers if isinstance(logger, HistoryLogger)]
        checkpoint[BEGUN] = self.begun_with
        own = {"random": random_state(), "means": means, "history_rows": rows}
        checkpoint[STATE] = gathered({**own, "batch_size": batch_size_of(trainer), "earlier": self._earlier})

    def on_load_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Takes this process's part of a checkpoint, until training starts.

        Raises:
            ConfigError: the best checkpoint is missing.
        """
        parts = process_parts(checkpoint, self.path)
        use_own_checkpoints(trainer.checkpoint_callbacks, checkpoint.get("callbacks", {}))
        self._held = part_of(parts, *rank_and_world_size())

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """What earlier processes saw of an epoch is no matter of the next one."""
        if trainer.current_epoch != self._resumed_epoch:
            self._earlier = []

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Listens to SIGTERM until Lightning gives it back, and puts the states back before the first batch."""
        io = trainer.strategy.checkpoint_io
        self._asked_to_end = trainer.received_sigterm
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)
            self._requeue.listen(self._note)
        if self._held is not None:
            if isinstance(io, WholeCheckpoints):
                io.restoring = self.path
            self._put_back(trainer, module, self._held)
        self._held = None
        if isinstance(io, WholeCheckpoints):
            io.restoring = None

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """What comes after the training needs no saving first."""
        self._requeue.give_back()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Puts the states back where nothing was left to train: what was logged after the checkpoint comes again."""
        if self._held is not None:
            self._put_back(trainer, module, self._held)
        self._held = None

    def on_sanity_check_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """What the model does now is no matter of a checkpoint."""
        io = trainer.strategy.checkpoint_io
        if isinstance(io, WholeCheckpoints):
            io.restoring = None

    def _put_back(self, trainer: pl.Trainer, module: pl.LightningModule, held: dict[str, Any]) -> None:
        assert isinstance(module, FusionModule)
        module.means["train"].load_state_dict({name: pair.to(module.device) for name, pair in held["means"].items()})
        logs = [logger for logger in trainer.loggers if isinstance(logger, HistoryLogger)]
        for logger, rows in zip(logs, held["history_rows"], strict=False):
            logger.rewind(rows)
        batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        loader: Any = trainer.train_dataloader
        if trainer.fit_loop.restarting and 0 < batches < trainer.num_training_batches:
            self._resumed_epoch = trainer.current_epoch
            if isinstance(loader.batch_sampler, PoissonBatches):
                loader.batch_sampler.skip_batches(batches)
            else:
                assert isinstance(loader.sampler, SeededSampler)
                self._earlier, seen = seen_of(held, batches, rank_and_world_size()[1])
                loader.sampler.skip_once(*seen)
        stops = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]  # type: ignore[attr-defined]
        if any(callback.stopped_epoch for callback in stops):
            trainer.should_stop = True
        restore_random(held)

    def _end(self) -> None:
        """Ends this process, once all have saved.

        Raises:
            SystemExit: the job was put back into a queue.
            SIGTERMException: it was not.
        """
        self._requeue.act()
        raise asked_to_end()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_end = True


def asked_to_end() -> SIGTERMException:
    """What ends this process: exit code 143 of the first one, by which schedulers know; the others just go."""
    return SIGTERMException(143 if rank_and_world_size()[0] == 0 else 0)


def begun_with(cfg: DictConfig, data: MultimodalData) -> dict[str, Any]:
    """What a run's numbers depend on: its options by dotted name, and the content of its table."""
    options = {name: value for name, value in flat(OmegaConf.to_container(cfg, resolve=True)) if not free(name)}
    return {**options, TABLE_CONTENT: data.table.fingerprint()}


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each option by its dotted name."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def free(name: str) -> bool:
    """Whether an option may change in mid-run."""
    return any(name == other or name.startswith(f"{other}.") for other in FREE)


def check_same_run(run: RunFolder, now: dict[str, Any]) -> None:
    """Refuses to go on with another config, or another table, than the run was begun with.

    Raises:
        ConfigError: names the first option that differs.
    """
    before = read_checkpoint(run.last_checkpoint, mmap=True).get(BEGUN) or now
    for name in sorted({*before, *now}):
        if before.get(name, LATER_OPTIONS.get(name)) != now.get(name, LATER_OPTIONS.get(name)):
            place = "" if name == TABLE_CONTENT else f" in {run.config}"
            raise ConfigError(
                f"{run.last_checkpoint} is of a run with another config: {name} is {now.get(name)}, but the run was "
                f"begun with {before.get(name)}. Put it back{place}, or start a new run."
            )
