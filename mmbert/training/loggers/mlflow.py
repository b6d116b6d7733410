"""MLflow: one run a job, in a local database by itself or on a server that is named."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

from mmbert.core.errors import ConfigError
from mmbert.core.types import InputFile
from mmbert.runs.folder import is_rank_zero, plain
from mmbert.runs.naming import flatten, fusion_name, modalities_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the local database needs beside mlflow-skinny.
PARTS = ("mlflow", "sqlalchemy", "alembic")
#: The longest parameter that MLflow keeps, in letters.
LONGEST = 6000


class MLflowTracker(MLFlowLogger):
    """Lightning's logger, and what we show beyond numbers.

    Args:
        options: the config group ``logger``.
        run_config: the run's resolved config; its options are the run's parameters.
    """

    def __init__(self, options: Mapping[str, Any], run_config: Mapping[str, Any]) -> None:
        uri, artifacts = places(options.get("tracking_uri"))
        super().__init__(
            experiment_name=str(options.get("project") or "mmbert"),
            run_name=str(options["name"]),
            tracking_uri=uri,
            artifact_location=artifacts,
            tags=tags(options, run_config),
            log_model=False,
        )
        self.samples = int(options.get("log_samples") or 0)
        self.wants_model = bool(options.get("log_model"))
        self.run_config = {key: str(value)[:LONGEST] for key, value in flatten(run_config).items()}

    def begin(self) -> None:
        """Makes the run, with its parameters."""
        from mlflow.entities import Param

        with quietly():
            self.experiment.log_batch(self.run_id, params=[Param(key, v) for key, v in self.run_config.items()])

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Nothing when training begins: the whole config is there already."""

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """Pictures under ``plots/``."""
        for name, figure in figures.items():
            self.experiment.log_figure(self.run_id, figure, f"plots/{name}.png")

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """One table of texts, targets and predictions; each sample's picture and sound as files beside it."""
        files = {key for row in rows for key, value in row.items() if isinstance(value, InputFile)}
        keys = list(dict.fromkeys(key for row in rows for key in row if key not in files))
        table = {key: [plain(row.get(key)) for row in rows] for key in keys}
        self.experiment.log_table(self.run_id, table, f"samples/{split}.json")
        for place, row in enumerate(rows):
            for value in row.values():
                if isinstance(value, InputFile) and value.shown_as != "none":
                    self.experiment.log_artifact(self.run_id, value.path, f"samples/{split}/{row.get('row', place)}")

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """The run's final numbers as metrics, other facts as tags."""
        for key, value in plain(summary).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.experiment.log_metric(self.run_id, key, value)
            elif isinstance(value, str):
                self.experiment.set_tag(self.run_id, key, value)

    def keep_model(self, folder: Path) -> None:
        """The saved model as artifacts, if asked for."""
        if self.wants_model:
            self.experiment.log_artifacts(self.run_id, str(folder), "model")

    def end(self, failed: bool, error: BaseException | None = None) -> None:
        """Says how it ended."""
        if failed and error is not None:
            self.experiment.set_tag(self.run_id, "error", f"{type(error).__name__}: {error}"[:LONGEST])
        self.experiment.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


def start_mlflow(options: Mapping[str, Any], run_config: Mapping[str, Any]) -> MLflowTracker | None:
    """Begins a run; nothing on all ranks but the first.

    Raises:
        ConfigError: MLflow is not installed, or its server cannot be reached.
    """
    if not is_rank_zero():
        return None
    missing = [name for name in PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"logger=mlflow needs {' and '.join(missing)}: pip install 'mmbert[mlflow]'. Without it: logger=csv"
        )
    from mlflow.exceptions import MlflowException

    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else minutes pass before a dead server is told
    tracker = MLflowTracker(options, run_config)
    try:
        tracker.begin()
    except MlflowException as error:
        raise ConfigError(
            f"logger.tracking_uri={options.get('tracking_uri') or tracker._tracking_uri}: {first_line(error)} "
            "Without a server, leave it out: the runs go to mlflow.db in the folder you stand in."
        ) from error
    return tracker


def places(uri: str | None) -> tuple[str, str | None]:
    """Where numbers go and where files go; by itself mlflow.db and mlartifacts/ in the folder one stands in."""
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if chosen:
        return chosen, None
    here = Path.cwd()
    return f"sqlite:///{here / 'mlflow.db'}", (here / "mlartifacts").as_uri()


def tags(options: Mapping[str, Any], run_config: Mapping[str, Any]) -> dict[str, str]:
    """What runs are found by: their group (a sweep), fusion, modalities and words of the user's own."""
    found = {
        "group": options.get("group"),
        "job_type": options.get("job_type"),
        "fusion": fusion_name(run_config),
        "modalities": modalities_label(run_config),
        "tags": ", ".join(map(str, options.get("tags") or ())),
    }
    return {key: str(value) for key, value in found.items() if value}


def first_line(error: Exception) -> str:
    """What MLflow says, in one line that ends as a sentence does."""
    return str(error).strip().splitlines()[0].rstrip(".") + "."


@contextmanager
def quietly() -> Iterator[None]:
    """Without the lines in which MLflow tells how it makes its database."""
    names = ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow")
    loggers = [logging.getLogger(name) for name in (*names, "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
