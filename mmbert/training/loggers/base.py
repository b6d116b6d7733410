"""The base class of loggers: Lightning's, with ``show_*`` methods for what a run has beyond numbers by step.

A logger is one class and one file ``conf/logger/NAME.yaml`` with its ``_target_`` and its options. It is built with
those options and with ``run``, a ``LoggedRun``. Of the methods below it overrides those for which the tracking tool has
a place; the others do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import Logger

from mmbert.runs.folder import RunFolder
from mmbert.runs.modality_weights import WeightCurves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmbert.runs.predictions import PredictionTable


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger belongs to.

    Attributes:
        folder: where local files go.
        config: resolved, as plain dictionaries.
        name: what the run is called where the options give no name, ``concat text+image+audio seed 0``.
        group: what it belongs to where the options give no group: its study, or its sweep; None if it stands alone.
        tags: what every run can be found by, ``fusion:concat``, beside the tags of the options.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    name: str = ""
    group: str | None = None
    tags: tuple[str, ...] = ()


class RunLogger(Logger):
    """Base of the config group ``logger``.

    A subclass implements Lightning's ``name``, ``version``, ``log_metrics`` and ``log_hyperparams``, or inherits them
    from one of Lightning's loggers, which then comes first among the bases. The methods below are called on global
    rank 0 alone, after training; what they raise is logged as a warning and does not fail the run.

    Attributes:
        num_samples: how many test samples ``show_samples`` wants; 0 = none.
    """

    num_samples: int = 0

    @classmethod
    def is_enabled(cls, options: Mapping[str, Any]) -> bool:
        """Whether this process logs at all; asked before the logger is built.

        Args:
            options: the config group ``logger``.
        """
        return True

    def show_summary(self, summary: Mapping[str, Any]) -> None:
        """Shows the final metrics, ``test/answer/accuracy``, and facts, ``wall_seconds``."""

    def show_figures(self, figures: Mapping[str, Figure]) -> None:
        """Shows matplotlib figures by name, ``test/answer/confusion``; whoever calls closes them."""

    def show_charts(self, table: PredictionTable, split: str) -> None:
        """Shows confusion matrices and ROC curves as interactive charts.

        Args:
            table: predictions of all samples of the split.
            split: its name.
        """

    def show_modality_weights(self, curves: WeightCurves) -> None:
        """Shows the weight that the fusion gave each modality, epoch by epoch.

        Args:
            curves: ``{diagnostic: {modality: [(epochs trained, mean over validation), …]}}``.
        """

    def show_samples(self, rows: Sequence[Mapping[str, Any]], split: str) -> None:
        """Shows samples with their predictions.

        Args:
            rows: a sample each, at most ``num_samples``: its ``row``, what each encoder reads by name (a text, an
                ``InputFile``, or None where it is missing), ``TASK/target`` and ``TASK/prediction``.
            split: what the samples are of.
        """

    def show_model(self, folder: Path) -> None:
        """Uploads the saved model, if the options ask for it."""

    def close(self, failed: bool, error: BaseException | None = None) -> None:
        """Ends the run, so that the next job of a sweep in this process begins one of its own.

        Args:
            failed: whether the run is to be marked as failed.
            error: why, if known.
        """
