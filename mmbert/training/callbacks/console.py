"""What a person sees in the terminal: what is trained, how far it is, and the table at the end."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.utilities import rank_zero_only
from rich.markup import escape
from rich.table import Table

from mmbert.core.terminal import PlainConsole
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.resources.parameter_counts import count_parameters, count_trainable

LISTED_BY_CHECK_DATA = "mmbert-check-data lists them, and looks for equal files under other names"
RUN_TITLE = "Test metrics of the checkpoint chosen on validation"
#: With ``checkpoint.per_task``; what is of all tasks is of the run's checkpoint.
TASKS_TITLE = "Test metrics, of each task by its own checkpoint chosen on validation"


def quiet() -> None:
    """Silences what Lightning and torch repeat in every run and nobody can act on."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for pattern in (
        ".*does not have many workers.*",
        ".*Found .* module.s. in eval mode at the start of training.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        ".*your dataloader is not resumable.*",  # its order follows from seed and epoch, and seen samples are skipped
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # summed over processes by ourselves
        ".*Trying to infer the `batch_size`.*",
        ".*number of training batches .* is smaller than the logging interval.*",
        ".*Starting from v1.9.0, `tensorboardX` has been removed.*",
    ):
        warnings.filterwarnings("ignore", pattern)


class EpochLines(Callback):
    """One line an epoch, for logs and pipes, where a moving bar would be noise.

    Args:
        monitor: the metric that chooses the checkpoint, which comes first; None = there is none.
    """

    def __init__(self, monitor: str | None = None) -> None:
        self.monitor = monitor
        self.began = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock."""
        self.began = time.monotonic()

    @rank_zero_only
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the validation metrics of the epoch that has just ended."""
        if trainer.sanity_checking:
            return
        shown = epoch_metrics({key: float(value) for key, value in trainer.callback_metrics.items()}, self.monitor)
        seconds = time.monotonic() - self.began
        print(
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {seconds:.0f} s  {'  '.join(shown)}", flush=True
        )


def epoch_metrics(metrics: Mapping[str, float], monitor: str | None) -> list[str]:
    """What an epoch's line shows, ``val/loss 0.5``: what is monitored, then losses and the usual metrics; no NaN."""
    keys = [key for key in metrics if key.startswith("val/") and is_main(key) and key != monitor]
    if monitor is not None and monitor in metrics:
        keys = [monitor, *keys]
    return [f"{key} {metrics[key]:.4g}" for key in keys if not math.isnan(metrics[key])]


def is_main(key: str) -> bool:
    """Whether a metric belongs in an epoch's single line."""
    return key == "val/loss" or key.endswith(("/accuracy", "/map", "/mae"))


def on_terminal() -> bool:
    """Whether a moving bar can be seen, and not those of other jobs in the same place."""
    return sys.stdout.isatty() and "MMBERT_SLOT" not in os.environ


def progress_display(monitor: str | None = None) -> Callback:
    """A moving bar on a terminal, one line an epoch elsewhere, ``monitor`` first."""
    return RichProgressBar(leave=False) if on_terminal() else EpochLines(monitor)


@rank_zero_only
def announce(model: MultimodalModel, run: RunFolder, initial_weights: Mapping[str, str] | None = None) -> None:
    """Prints what is about to be trained; ``initial_weights``: where encoders have their first weights from."""
    console = PlainConsole()
    for name, encoder in model.encoders.items():
        state = "frozen" if encoder.frozen else f"{count_trainable(encoder):,} trained"
        origin = f", from {initial_weights[name]}" if initial_weights and name in initial_weights else ""
        size = f"{count_parameters(encoder):,} parameters, {state}{origin}"
        console.print(f"  {name:<9} {type(encoder).__name__}, width {encoder.out_dim}, {size}", soft_wrap=True)
    console.print(f"  {'fusion':<9} {type(model.fusion).__name__}, {count_parameters(model.fusion):,} parameters")
    console.print(f"  {'tasks':<9} {', '.join(model.tasks)}")
    console.print(f"  {'run':<9} {shortest(run.path)}")


@rank_zero_only
def print_line(line: str) -> None:
    """Prints one line."""
    PlainConsole().print(f"  {line}", soft_wrap=True)


@rank_zero_only
def print_notes(notes: Sequence[str]) -> None:
    """What was guessed, or left out, as the data were read."""
    for note in notes:
        PlainConsole(markup=True).print(f"  [yellow]warning[/]   {escape(note)}", soft_wrap=True)


@rank_zero_only
def warn_of(lines: Sequence[str], more: str | None = LISTED_BY_CHECK_DATA) -> None:
    """What may mislead whoever reads the results; ``more``: where to find more of it."""
    console = PlainConsole(markup=True)
    for line in lines:
        console.print(f"  [yellow]warning[/]   {escape(line)}", soft_wrap=True)
    if lines and more:
        console.print(f"            {more}")


@rank_zero_only
def print_results(
    metrics: dict[str, float],
    splits: list[str],
    run: RunFolder,
    title: str = RUN_TITLE,
    notes: Mapping[str, str] | None = None,
    hidden: Collection[str] = (),
) -> None:
    """The table of metrics, how those were computed of which there is a note, and where everything was written.

    Args:
        metrics: ``SPLIT/TASK/METRIC``.
        splits: a column each.
        run: the folder.
        title: of the table.
        notes: by metric.
        hidden: ``TASK/METRIC`` that the table leaves out.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("task")
    table.add_column("metric")
    for split in splits:
        table.add_column(split, justify="right")
    last = ""
    for key in unique_keys(metrics, splits):
        if key in hidden:
            continue
        task, _, metric = key.rpartition("/")
        cells = [f"{metrics[f'{split}/{key}']:.4f}" if f"{split}/{key}" in metrics else "–" for split in splits]
        if last and (task or "all") != last:
            table.add_section()
        name = task or "all"
        table.add_row(name if name != last else "", metric, *cells)
        last = name
    console = PlainConsole()
    console.print(table)
    for line in note_lines(notes or {}, splits):
        console.print(f"  {line}", soft_wrap=True)
    for what, path in run.contents():
        console.print(f"  {what:<12} {shortest(path)}", soft_wrap=True)


def note_lines(notes: Mapping[str, str], splits: Sequence[str]) -> list[str]:
    """``caption/bleu: signature``, once where all splits have the same; otherwise one line a split."""
    by_metric: dict[str, dict[str, str]] = {}
    for name, note in notes.items():
        split, _, metric = name.partition("/")
        if split in splits:
            by_metric.setdefault(metric, {})[split] = note
    lines = []
    for metric, found in by_metric.items():
        same = len(set(found.values())) == 1
        lines += [f"{metric}: {note}" for note in set(found.values())] if same else []
        lines += [] if same else [f"{metric} of {split}: {note}" for split, note in found.items()]
    return lines


def unique_keys(metrics: dict[str, float], splits: list[str]) -> list[str]:
    """``task/metric`` of every number of the splits: task by task, losses last."""
    keys: dict[str, None] = {}
    for key in metrics:
        split, _, rest = key.partition("/")
        if split in splits:
            keys[rest] = None
    tasks = list(dict.fromkeys(key.rpartition("/")[0] for key in keys))
    place = {task: i if task else len(tasks) for i, task in enumerate(tasks)}
    return sorted(keys, key=lambda key: (place[key.rpartition("/")[0]], key.endswith("loss")))


def shortest(path: Path) -> str:
    """The path relative to the folder one stands in, if it lies inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
