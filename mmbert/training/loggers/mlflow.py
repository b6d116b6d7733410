"""MLflow: one run a job, in a local database by itself or on a server that is named."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import InputFile
from mmbert.runs.files import to_json_types
from mmbert.runs.naming import flatten, fusion_name, modalities_label
from mmbert.training.loggers.base import LoggedRun, RunLogger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the local database needs beside mlflow-skinny.
PARTS = ("mlflow", "sqlalchemy", "alembic")
#: The longest parameter that MLflow keeps, in letters.
LONGEST = 6000


class MLflowRunLogger(MLFlowLogger, RunLogger):
    """Lightning's logger on an MLflow run that is begun here.

    Args:
        run: that is logged; the options of its config are the MLflow run's parameters.
        tracking_uri: of a server; None = MLFLOW_TRACKING_URI, else ``mlflow.db`` in the working folder.
        project: MLflow's experiment.
        name: of the MLflow run; None = that of ``run``.
        group: a tag; None = that of ``run``.
        job_type: a tag; None = train.
        tags: beside those of ``run``.
        log_samples: how many test samples are shown.
        log_model: keep the saved model as artifacts.

    Raises:
        ConfigError: MLflow is not installed, or its server cannot be reached.
    """

    def __init__(
        self,
        run: LoggedRun,
        tracking_uri: str | None = None,
        project: str = "mmbert",
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        log_samples: Annotated[int, Range(0)] = 32,
        log_model: bool = False,
    ) -> None:
        check_installed()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else a server that is down costs minutes
        uri, artifacts = tracking_places(tracking_uri)
        super().__init__(
            experiment_name=project or "mmbert",
            run_name=name or run.name,
            tracking_uri=uri,
            artifact_location=artifacts,
            tags=mlflow_tags(run, group or run.group, job_type or "train", tags or ()),
            log_model=False,
        )
        self.num_samples = int(log_samples or 0)
        self.uploads_model = bool(log_model)
        self.begin_run({key: str(value)[:LONGEST] for key, value in flatten(run.config).items()}, tracking_uri)

    @classmethod
    def is_enabled(cls, options: Mapping[str, Any]) -> bool:
        """On global rank 0 alone: every process that connects would open the database."""
        return is_rank_zero()

    def begin_run(self, parameters: Mapping[str, str], tracking_uri: str | None) -> None:
        """Makes the MLflow run, with its parameters.

        Raises:
            ConfigError: the server cannot be reached; ``tracking_uri`` is what the options name.
        """
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        try:
            with quiet_mlflow():
                self.experiment.log_batch(self.run_id, params=[Param(key, v) for key, v in parameters.items()])
        except MlflowException as error:
            raise ConfigError(
                f"logger.tracking_uri={tracking_uri or self._tracking_uri}: {error_sentence(error)} "
                "Without a server, leave it out: the runs go to mlflow.db in the folder you stand in."
            ) from error

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
        table = {key: [to_json_types(row.get(key)) for row in rows] for key in keys}
        self.experiment.log_table(self.run_id, table, f"samples/{split}.json")
        for place, row in enumerate(rows):
            for value in row.values():
                if isinstance(value, InputFile) and value.shown_as != "none":
                    self.experiment.log_artifact(self.run_id, value.path, f"samples/{split}/{row.get('row', place)}")

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """The run's final numbers as metrics, other facts as tags."""
        for key, value in to_json_types(summary).items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.experiment.log_metric(self.run_id, key, value)
            elif isinstance(value, str):
                self.experiment.set_tag(self.run_id, key, value)

    def show_model(self, folder: Path) -> None:
        """The saved model as artifacts, if asked for."""
        if self.uploads_model:
            self.experiment.log_artifacts(self.run_id, str(folder), "model")

    def close(self, failed: bool, error: BaseException | None = None) -> None:
        """Marks the MLflow run as finished or failed."""
        if failed and error is not None:
            self.experiment.set_tag(self.run_id, "error", f"{type(error).__name__}: {error}"[:LONGEST])
        self.experiment.set_terminated(self.run_id, "FAILED" if failed else "FINISHED")


def tracking_places(uri: str | None) -> tuple[str, str | None]:
    """Where numbers go and where files go; by itself mlflow.db and mlartifacts/ in the folder one stands in."""
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if chosen:
        return chosen, None
    here = Path.cwd()
    return f"sqlite:///{here / 'mlflow.db'}", (here / "mlartifacts").as_uri()


def check_installed() -> None:
    """Refuses to begin without MLflow and what its local database needs.

    Raises:
        ConfigError: names what is missing.
    """
    missing = [name for name in PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"logger=mlflow needs {' and '.join(missing)}: pip install 'mmbert[mlflow]'. Without it: logger=csv"
        )


def mlflow_tags(run: LoggedRun, group: str | None, job_type: str, tags: Sequence[str]) -> dict[str, str]:
    """What runs are found by: their group (a sweep), fusion, modalities and the user's own tags."""
    found = {
        "group": group,
        "job_type": job_type,
        "fusion": fusion_name(run.config),
        "modalities": modalities_label(run.config),
        "tags": ", ".join(map(str, dict.fromkeys([*tags, *run.tags]))),
    }
    return {key: str(value) for key, value in found.items() if value}


def error_sentence(error: Exception) -> str:
    """The first line of an error's message, as a sentence."""
    return str(error).strip().splitlines()[0].rstrip(".") + "."


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Silences the lines that MLflow logs while it makes its database."""
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
