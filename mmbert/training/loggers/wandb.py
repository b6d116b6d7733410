"""Weights & Biases: one W&B run a job, offline by itself where there is no key, never a question at the keyboard."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pytorch_lightning.loggers import WandbLogger

from mmbert.core.distributed import is_rank_zero
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import InputFile
from mmbert.runs.files import to_json_types
from mmbert.runs.modality_weights import WeightCurves
from mmbert.runs.naming import fusion_name, modalities_label, tasks_label
from mmbert.runs.wandb_session import begin, choose_mode
from mmbert.training.loggers.base import LoggedRun, RunLogger
from mmbert.training.loggers.thumbnail import thumbnail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.predictions import PredictionTable

log = logging.getLogger(__name__)


class WandbRunLogger(WandbLogger, RunLogger):
    """Lightning's logger on a W&B run that is begun here.

    Args:
        run: that is logged.
        project: W&B's project.
        entity: team or user; None = the key's own.
        name: of the W&B run; None = that of ``run``.
        group: None = that of ``run``.
        job_type: None = train.
        tags: beside those of ``run``.
        mode: ``online``, ``offline`` or ``disabled``; None = as W&B is set up, offline without a key.
        log_samples: how many test samples the table shows.
        log_model: upload the saved model as an artifact.

    Raises:
        ConfigError: an unknown mode, ``online`` without a key, or a key that the server refuses.
    """

    def __init__(
        self,
        run: LoggedRun,
        project: str = "mmbert",
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        mode: Annotated[str | None, OneOf("online", "offline", "disabled")] = None,
        log_samples: Annotated[int, Range(0)] = 32,
        log_model: bool = False,
    ) -> None:
        options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "name": name or run.name,
            "group": group or run.group,
            "job_type": job_type or "train",
            "tags": list(dict.fromkeys([*(tags or ()), *run.tags])),
        }
        wandb_run = begin_run(mode, options, run) if is_rank_zero() else None
        super().__init__(
            name=name or run.name,
            project=project,
            save_dir=run.folder.path,
            experiment=wandb_run,
            id=getattr(wandb_run, "id", None),
        )
        self.num_samples = int(log_samples or 0)
        self.uploads_model = bool(log_model)

    @classmethod
    def is_enabled(cls, options: Mapping[str, Any]) -> bool:
        """Not where W&B is switched off.

        Raises:
            ConfigError: an unknown mode, or ``online`` without a key.
        """
        return choose_mode(options.get("mode"))[0] != "disabled"

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """A table: the row, text, picture and sound where a sample has them, then targets and predictions."""
        import wandb

        columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
        table = wandb.Table(columns=columns)
        for row in rows:
            table.add_data(*(table_cell(row.get(str(key))) for key in columns))
        self.experiment.log({f"samples/{split}": table})

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """Pictures under ``plots/``."""
        import wandb

        self.experiment.log({f"plots/{name}": wandb.Image(figure) for name, figure in figures.items()})

    def show_charts(self, table: PredictionTable, split: str) -> None:
        """Confusion matrix and ROC curves of each classification."""
        import wandb

        for task in table.tasks:
            if table.kind(task) != "classification":
                continue
            targets, probabilities = table.labelled(task)
            classes = table.classes(task)
            if not len(targets):
                continue
            matrix = wandb.plot.confusion_matrix(
                y_true=targets.tolist(),
                preds=probabilities.argmax(1).tolist(),
                class_names=classes,
                title=f"{task} ({split})",
            )
            curves = wandb.plot.roc_curve(targets, probabilities, labels=classes, title=f"{task} ({split})")  # type: ignore[arg-type]
            self.experiment.log({f"charts/{split}/{task}/confusion": matrix, f"charts/{split}/{task}/roc": curves})

    def show_modality_weights(self, curves: WeightCurves) -> None:
        """A chart for each diagnostic, a line a modality, over the epochs."""
        import wandb

        for name, lines in curves.items():
            chart = wandb.plot.line_series(
                xs=[[epoch for epoch, _ in points] for points in lines.values()],
                ys=[[mean for _, mean in points] for points in lines.values()],
                keys=list(lines),
                title=f"{name} (means over val)",
                xname="epoch",
            )
            self.experiment.log({f"charts/val/gates/{name}": chart})

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """W&B's summary: final numbers, over whatever was logged last under the same names."""
        self.experiment.summary.update(to_json_types(summary))

    def show_model(self, folder: Path) -> None:
        """The saved model as an artifact of the run, if ``log_model`` is set."""
        if not self.uploads_model:
            return
        import wandb

        artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model")
        artifact.add_dir(str(folder))
        self.experiment.log_artifact(artifact, aliases=["best"])

    def close(self, failed: bool, error: BaseException | None = None) -> None:
        """Finishes the W&B run, as failed or not."""
        run, self._experiment = self._experiment, None
        if run is None:
            return
        if failed and error is not None:
            run.summary["error"] = f"{type(error).__name__}: {error}"[:2000]
        run.finish(exit_code=1 if failed else 0)


def begin_run(mode: str | None, options: Mapping[str, Any], run: LoggedRun) -> Any:
    """Begins a W&B run with the config and the x axis of a training.

    Raises:
        ConfigError: see ``WandbRunLogger``.
    """
    chosen, reason = choose_mode(mode)
    wandb_run = begin(chosen, options, run.folder.path)
    wandb_run.define_metric("trainer/global_step")
    wandb_run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    labels = {
        "fusion": fusion_name(run.config),
        "modalities": modalities_label(run.config),
        "tasks": tasks_label(run.config),
    }
    wandb_run.config.update(to_json_types({**run.config, "labels": labels}), allow_val_change=True)
    if wandb_run.settings._offline:
        log.info("wandb: offline%s. To upload later: wandb sync %s", reason, Path(wandb_run.dir).parent)
    else:
        log.info("wandb: %s", wandb_run.url)
    return wandb_run


def table_cell(value: Any) -> Any:
    """A value as a table shows it: a picture, a player, or plain text and numbers."""
    import wandb

    if value is None:
        return None
    if isinstance(value, InputFile):
        shown = {"image": lambda: wandb.Image(thumbnail(value.path)), "audio": lambda: wandb.Audio(value.path)}
        return shown.get(value.shown_as, lambda: value.path)()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return to_json_types(value)
