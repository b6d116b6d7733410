"""The protocol of an analysis: what a run measures on its trained model beside its metrics.

The object comes from the config and belongs to a layer above training: it is checked before training and runs after.
"""

from __future__ import annotations

from typing import Any, Protocol

import pytorch_lightning as pl
from omegaconf import DictConfig

from mmbert.data.datamodule import MultimodalData
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.instantiate import make


class Analysis(Protocol):
    """Measures a trained model on data that are connected to it, and leaves a file of its own in the run's folder."""

    @property
    def active(self) -> bool:
        """Whether there is anything to measure."""
        ...

    def check(self, model: MultimodalModel, data: MultimodalData) -> None:
        """Refuses what could not be measured.

        Raises:
            ConfigError: names the option.
        """
        ...

    def measure(
        self, model: MultimodalModel, data: MultimodalData, trainer: pl.Trainer, run: RunFolder
    ) -> dict[str, Any]:
        """Measures; every process calls it. Returns facts for the run's own file."""
        ...


def configured_analyses(part: DictConfig | None, model: MultimodalModel, data: MultimodalData) -> list[Analysis]:
    """The analysis of a config node, checked against model and data; none if there is no node or it is not active.

    Raises:
        ConfigError: it cannot be measured.
    """
    analysis: Analysis | None = make(part) if part else None
    if analysis is None or not analysis.active:
        return []
    analysis.check(model, data)
    return [analysis]
