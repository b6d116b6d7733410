"""What tasks choose on the validation split after training, with the weights of the best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from mmbert.data.datamodule import MultimodalData
from mmbert.training.fit import no_logging
from mmbert.training.module import FusionModule
from mmbert.training.tuning_samples import TuningSamples


def tune_tasks(module: FusionModule, trainer: pl.Trainer, data: MultimodalData) -> dict[str, Mapping[str, Any]]:
    """Lets every task that tunes choose, with the weights that are loaded; one pass over the validation split.

    A task without a labelled sample there keeps what it has.

    Returns:
        By task what it chose; empty if no task tunes.
    """
    if not any(task.tunes for task in module.tasks.values()):
        return {}
    module.tuning = TuningSamples()
    try:
        with no_logging(trainer):
            trainer.test(module, dataloaders=data.loader("val"), verbose=False)
        samples = module.tuning.gather()
    finally:
        module.tuning = None
    return {name: task.tune(samples[name]) for name, task in module.tasks.items() if samples.get(name)}
