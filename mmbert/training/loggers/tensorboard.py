"""TensorBoard: numbers, pictures, sounds and texts, as far as it shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.shown_text import markdown_text
from mmbert.core.types import InputFile
from mmbert.data.modalities.registry import modality_named
from mmbert.runs.files import to_json_types
from mmbert.runs.modality_weights import WeightCurves
from mmbert.runs.naming import flatten
from mmbert.training.loggers.base import LoggedRun, RunLogger
from mmbert.training.loggers.thumbnail import thumbnail
from mmbert.training.modality_shares import LOGGED_PREFIX

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TensorBoardRunLogger(TensorBoardLogger, RunLogger):
    """Lightning's logger in ``tensorboard/`` of the run's folder.

    Args:
        run: that is logged; its config is listed with the final numbers.
        log_samples: how many test samples are shown.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, run: LoggedRun, log_samples: Annotated[int, Range(0)] = 32) -> None:
        folder = run.folder.tensorboard
        try:
            super().__init__(save_dir=folder.parent, name=folder.name, version="", default_hp_metric=False)
        except ModuleNotFoundError as error:
            raise ConfigError(
                "logger=tensorboard needs TensorBoard: pip install 'mmbert[tensorboard]'. Without it: logger=csv"
            ) from error
        self.num_samples = int(log_samples or 0)
        self.hyperparameters = {key: hyperparameter(value) for key, value in flatten(run.config).items()}

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, metrics: Any = None, step: int | None = None) -> None:
        """Nothing when training begins: the list of runs is written once, with the final numbers."""

    @rank_zero_only
    def save(self) -> None:
        """Writes what is pending; the config lies beside it already."""
        self.experiment.flush()

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """Pictures under ``plots/``."""
        for name, figure in figures.items():
            self.experiment.add_figure(f"plots/{name}", figure, close=False)

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """Each sample's picture and sound under its number, and one table of texts, targets and predictions."""
        for i, row in enumerate(rows):
            for name, value in row.items():
                if not isinstance(value, InputFile):
                    continue
                tag = f"samples/{split}/{row.get('row', i)}" + ("" if name == value.shown_as else f"/{name}")
                if value.shown_as == "image":
                    self.experiment.add_image(tag, picture_array(thumbnail(value.path)), dataformats="HWC")
                elif value.shown_as == "audio":
                    sound, rate = sound_tensor(value.path)
                    self.experiment.add_audio(tag, sound, sample_rate=rate)
        self.experiment.add_text(f"samples/{split}", rows_as_markdown(rows))

    def show_modality_weights(self, curves: WeightCurves) -> None:
        """Puts the curves that were logged each epoch into one chart for each diagnostic.

        They stand in the tab CUSTOM SCALARS; its charts choose tags by regular expressions.
        """
        charts = {
            name: ["Multiline", [f"^{re.escape(f'{LOGGED_PREFIX}/val/{name}/{modality}')}$" for modality in lines]]
            for name, lines in curves.items()
        }
        self.experiment.add_custom_scalars({"gates over time": charts})

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """The run's line in the tab HPARAMS: its config and its final numbers."""
        numbers = {key: value for key, value in to_json_types(summary).items() if isinstance(value, (int, float))}
        super().log_hyperparams(self.hyperparameters, numbers)

    def close(self, failed: bool, error: BaseException | None = None) -> None:
        """Closes the file."""
        if failed:
            self.experiment.add_text("failed", "unknown error" if error is None else f"{type(error).__name__}: {error}")
        self.experiment.close()


def hyperparameter(value: Any) -> Any:
    """A config value of a type that the list of runs takes: a number, a truth value or text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def picture_array(image: Any) -> Any:
    """PIL image -> (height, width, 3) uint8."""
    import numpy as np

    return np.asarray(image)


def sound_tensor(path: Any) -> tuple[Any, int]:
    """A sound file, as an encoder reads it -> (1, samples) float32 tensor and its rate in Hz."""
    import torch

    samples, rate = modality_named("audio").read_file(path)  # type: ignore[attr-defined]
    return torch.from_numpy(samples)[None], rate


def rows_as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows' texts and numbers as a Markdown table, without pictures and sounds."""
    files = {key for row in rows for key, value in row.items() if isinstance(value, InputFile)}
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in files))
    lines = ["| " + " | ".join(map(markdown_text, keys)) + " |", "|" + " --- |" * len(keys)]
    for row in rows:
        cells = ("" if row.get(key) is None else markdown_text(row[key]) for key in keys)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
