"""The logger that writes ``history.csv``: every logged number of a run by step, as training goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from mmbert.core.whole_files import naming, whole_file
from mmbert.runs.folder import RunFolder
from mmbert.training.loggers.base import LoggedRun, RunLogger


class HistoryWriter(ExperimentWriter):
    """Lightning's writer, but a resumed run appends to the file there is."""

    NAME_METRICS_FILE = RunFolder(".").history.name

    def _check_log_dir_exists(self) -> None:
        """Keeps an earlier file; Lightning would delete it."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def save(self) -> None:
        """Writes what is pending."""
        with naming(Path(self.metrics_file_path)):
            super().save()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Adds columns to the file; Lightning would write it anew in its place, where a kill leaves half of it."""
        path = Path(self.metrics_file_path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=fieldnames)
            writer.writeheader()
            writer.writerows(rows)


class HistoryLogger(CSVLogger, RunLogger):
    """Writes ``history.csv`` into the run's folder; every run has it beside its other logger.

    Args:
        run: that is logged.
    """

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(save_dir=run.folder.path, name="", version="")
        self.path = run.folder.history

    @property
    @rank_zero_experiment
    def experiment(self) -> HistoryWriter:
        """The writer."""
        if self._experiment is None:
            self._experiment = HistoryWriter(log_dir=str(Path(self.save_dir)))
        assert isinstance(self._experiment, HistoryWriter)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: ``config.yaml`` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:  # type: ignore[override]
        """Adds a row; what closes an epoch is on disk at once, should the run be killed in the next."""
        super().log_metrics(dict(metrics), step)
        if any(not key.startswith("train/") for key in metrics):
            self.save()

    def mark(self) -> int:
        """Writes everything down and counts the rows there are, for ``rewind``."""
        self.save()
        if not self.path.is_file():
            return 0
        with self.path.open(newline="", encoding="utf-8") as file:
            return max(0, sum(1 for _ in csv.reader(file)) - 1)

    @rank_zero_only
    def rewind(self, rows: int) -> None:
        """Deletes what follows the first ``rows`` rows: a resumed run writes it again."""
        if not self.path.is_file():
            return
        with self.path.open(newline="", encoding="utf-8") as file:
            kept = list(islice(csv.reader(file), rows + 1))
        with whole_file(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)

    def close(self, failed: bool, error: BaseException | None = None) -> None:
        """Writes what is pending and lets the file go."""
        self.save()
        self._experiment = None
