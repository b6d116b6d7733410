"""Pruning by a search: after every validation the metric is reported to the trial, which may end the run early."""

from __future__ import annotations

import math
from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from mmbert.core.errors import ConfigError
from mmbert.training.monitor import Monitor


class Trial(Protocol):
    """A trial of a search, as Optuna has them."""

    @property
    def number(self) -> int:
        """Which of the search's trials it is."""

    def report(self, value: float, step: int) -> None:
        """Takes the metric after validation ``step``, the first being 0."""

    def should_prune(self) -> bool:
        """Whether the run is to end here."""


class Pruned(Exception):  # noqa: N818 (no error: a search has seen enough)
    """A search ended the run early.

    Args:
        facts: what is left in ``pruned.json``.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        super().__init__(
            f"cut short after {facts['validations']} validations, at {facts['monitor']}={facts['value']:g}"
        )


class Pruning(Callback):
    """Reports to the search and ends the run when it says so, in all processes alike.

    Args:
        trial: None in processes that do not report.
        monitor: what is reported.
        direction: in which the search believes that it improves, ``maximize`` or ``minimize``; empty where
            that is not known.

    Raises:
        ConfigError: the search would look for the worst.
    """

    def __init__(self, trial: Trial | None, monitor: Monitor, direction: str) -> None:
        if direction and direction != f"{monitor.mode}imize":
            raise ConfigError(
                f"hydra.sweeper.direction={direction}, but {monitor.name} is better the "
                f"{'larger' if monitor.mode == 'max' else 'smaller'}: hydra.sweeper.direction={monitor.mode}imize"
            )
        self.trial, self.monitor = trial, monitor
        self.validations = 0

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Asks, after each validation of the training."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        value = float(trainer.callback_metrics[self.monitor.name])
        stop = False
        if self.trial is not None and not math.isnan(value):  # Optuna would take it for the worst there is
            self.trial.report(value, self.validations)
            stop = self.trial.should_prune()
        self.validations += 1
        if trainer.strategy.reduce_boolean_decision(stop, all=False):
            facts = {"monitor": self.monitor.name, "value": value, "validations": self.validations}
            raise Pruned(facts | {"epoch": trainer.current_epoch, "step": trainer.global_step})

    def state_dict(self) -> dict[str, Any]:
        """How many validations there were: a run that goes on must not count anew."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the count."""
        self.validations = int(state_dict["validations"])
