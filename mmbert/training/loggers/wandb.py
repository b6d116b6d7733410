"""Weights & Biases: one run a job, offline by itself where there is no key, never a question at the keyboard."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger

from mmbert.core.types import InputFile
from mmbert.runs.folder import is_rank_zero, plain
from mmbert.runs.naming import fusion_name, modalities_label, tasks_label
from mmbert.runs.wandb_session import begin, choose_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.modality_weights import Gates
    from mmbert.runs.predictions import PredictionTable

#: longest side of a picture in a table of samples, in pixels
PICTURE_PIXELS = 256

log = logging.getLogger(__name__)


class WandbTracker(WandbLogger):
    """Lightning's logger around a run of our own making, and what we show beyond numbers.

    Args:
        run: from ``wandb.init``; None on all ranks but the first.
        options: the config group ``logger``.
        run_dir: the run's folder.
    """

    def __init__(self, run: Any, options: Mapping[str, Any], run_dir: Path) -> None:
        super().__init__(
            name=options["name"],
            project=options.get("project"),
            save_dir=run_dir,
            experiment=run,
            id=getattr(run, "id", None),
        )
        self.samples = int(options.get("log_samples") or 0)
        self.wants_model = bool(options.get("log_model"))

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """A table: the row, text, picture and sound where a sample has them, then targets and predictions."""
        import wandb

        columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
        table = wandb.Table(columns=columns)
        for row in rows:
            table.add_data(*(cell(row.get(str(key))) for key in columns))
        self.experiment.log({f"samples/{split}": table})

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """Pictures under ``plots/``."""
        import wandb

        self.experiment.log({f"plots/{name}": wandb.Image(figure) for name, figure in figures.items()})

    def show_charts(self, table: PredictionTable, split: str) -> None:
        """Confusion matrix and ROC curves of each classification, as charts one can hover over."""
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

    def show_gates(self, gates: Gates) -> None:
        """A chart for each thing that the fusion tells, a line a modality, over the epochs."""
        import wandb

        for name, lines in gates.items():
            chart = wandb.plot.line_series(
                xs=[[epoch for epoch, _ in points] for points in lines.values()],
                ys=[[mean for _, mean in points] for points in lines.values()],
                keys=list(lines),
                title=f"{name} (means over val)",
                xname="epoch",
            )
            self.experiment.log({f"charts/val/gates/{name}": chart})

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Final numbers, over whatever was logged last under the same names."""
        self.experiment.summary.update(plain(summary))

    def keep_model(self, folder: Path) -> None:
        """The saved model as an artifact of the run, if ``log_model`` is set."""
        if not self.wants_model:
            return
        import wandb

        artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model")
        artifact.add_dir(str(folder))
        self.experiment.log_artifact(artifact, aliases=["best"])

    def end(self, failed: bool, error: BaseException | None = None) -> None:
        """Finishes the run, as failed or not."""
        run, self._experiment = self._experiment, None
        if run is None:
            return
        if failed and error is not None:
            run.summary["error"] = f"{type(error).__name__}: {error}"[:2000]
        run.finish(exit_code=1 if failed else 0)


def start_wandb(options: Mapping[str, Any], run_dir: Path, run_config: Mapping[str, Any]) -> WandbTracker | None:
    """Begins a run; None if wandb is switched off.

    Raises:
        ConfigError: an unknown mode, a wish to be online without a key, or a key that the server refuses.
    """
    mode, reason = choose_mode(options.get("mode"))
    if mode == "disabled":
        return None
    if not is_rank_zero():
        return WandbTracker(None, options, run_dir)
    run = begin(mode, options, run_dir)
    mode = "offline" if run.settings._offline else "online"
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    labels = {
        "fusion": fusion_name(run_config),
        "modalities": modalities_label(run_config),
        "tasks": tasks_label(run_config),
    }
    run.config.update(plain({**run_config, "labels": labels}), allow_val_change=True)
    if mode == "offline":
        log.info("wandb: offline%s. To upload later: wandb sync %s", reason, Path(run.dir).parent)
    else:
        log.info("wandb: %s", run.url)
    return WandbTracker(run, options, run_dir)


def cell(value: Any) -> Any:
    """A value as a table shows it: a picture, a player, or plain text and numbers."""
    import wandb

    if value is None:
        return None
    if isinstance(value, InputFile):
        shown = {"image": lambda: wandb.Image(thumbnail(value.path)), "audio": lambda: wandb.Audio(value.path)}
        return shown.get(value.shown_as, lambda: value.path)()
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return plain(value)


def thumbnail(source: Any) -> Any:
    """A picture's file, or a PIL image -> a small RGB image, upright."""
    from PIL import Image, ImageOps

    image = source if isinstance(source, Image.Image) else Image.open(source)
    image = ImageOps.exif_transpose(image).convert("RGB")
    image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    return image
