"""``history.csv``: every logged number of a run by step, written as it goes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

HISTORY_FILE = "history.csv"


class HistoryWriter(ExperimentWriter):
    """Lightning's writer, but a run that is resumed goes on where it stopped."""

    NAME_METRICS_FILE = HISTORY_FILE

    def _check_log_dir_exists(self) -> None:
        """Keeps an earlier file; Lightning would delete it."""
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])


class HistoryLogger(CSVLogger):
    """Writes ``history.csv`` into the run's folder; the config is there already.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(save_dir=run_dir, name="", version="")

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
        path = Path(self.save_dir) / HISTORY_FILE
        if not path.is_file():
            return 0
        with path.open(newline="", encoding="utf-8") as file:
            return max(0, sum(1 for _ in csv.reader(file)) - 1)

    @rank_zero_only
    def rewind(self, rows: int) -> None:
        """Forgets what was written behind so many rows: a resumed run writes it again."""
        path = Path(self.save_dir) / HISTORY_FILE
        if not path.is_file():
            return
        with path.open(newline="", encoding="utf-8") as file:
            kept = list(islice(csv.reader(file), rows + 1))
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(kept)
        temporary.replace(path)

    def end(self, failed: bool, error: BaseException | None = None) -> None:
        """Writes what is left and forgets the file."""
        self.save()
        self._experiment = None


def read_history(path: Path) -> dict[str, list[tuple[int, float]]]:
    """``{metric: [(step, value), …]}`` in order of steps; what a resumed run measured again counts once, the last."""
    curves: dict[str, dict[int, float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(float(row["step"]))
            for key, text in row.items():
                if key not in ("step", None) and text:
                    curves.setdefault(key, {})[step] = float(text)
    return {key: sorted(points.items()) for key, points in curves.items()}
