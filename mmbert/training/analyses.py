"""What a run measures beside its metrics when it has been trained: an object of the config, of a layer above this one.

Training knows no more of it than this: it is asked before training whether it can be done, and afterwards it does it.
"""

from __future__ import annotations

from typing import Any, Protocol

import pytorch_lightning as pl
from omegaconf import DictConfig

from mmbert.data.datamodule import MultimodalData
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.build import make


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


def asked_for(part: DictConfig | None, model: MultimodalModel, data: MultimodalData) -> list[Analysis]:
    """What a config node asks for, checked; nothing where there is no node, or it asks for nothing.

    Raises:
        ConfigError: it cannot be measured.
    """
    analysis: Analysis | None = make(part) if part else None
    if analysis is None or not analysis.active:
        return []
    analysis.check(model, data)
    return [analysis]
