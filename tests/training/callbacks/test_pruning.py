"""A search hears of each validation of the training, and ends the run when it says so."""

from types import SimpleNamespace

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.training.callbacks.pruning import Pruned, Pruning
from mmbert.training.monitor import Monitor

MONITOR = Monitor("val/answer/accuracy", "max")


class Trial:
    """Prunes at the third report."""

    number = 0

    def __init__(self):
        self.reports = []

    def report(self, value, step):
        self.reports.append((value, step))

    def should_prune(self):
        return len(self.reports) == 3


def trainer(value, sanity_checking=False, fn="fit"):
    return SimpleNamespace(
        sanity_checking=sanity_checking,
        state=SimpleNamespace(fn=fn),
        callback_metrics={MONITOR.name: torch.tensor(value)},
        strategy=SimpleNamespace(reduce_boolean_decision=lambda stop, all: stop),
        current_epoch=2,
        global_step=30,
    )


def test_each_validation_is_reported_until_the_search_has_seen_enough():
    trial = Trial()
    first = Pruning(trial, MONITOR, "maximize")
    first.on_validation_end(trainer(0.0, sanity_checking=True), None)
    first.on_validation_end(trainer(0.0, fn="test"), None)
    first.on_validation_end(trainer(0.25), None)
    resumed = Pruning(trial, MONITOR, "")
    resumed.load_state_dict(first.state_dict())
    resumed.on_validation_end(trainer(0.5), None)
    with pytest.raises(Pruned, match="cut short after 3 validations, at val/answer/accuracy=0.75") as caught:
        resumed.on_validation_end(trainer(0.75), None)
    assert trial.reports == [(0.25, 0), (0.5, 1), (0.75, 2)]
    assert caught.value.facts == {
        "monitor": MONITOR.name, "value": 0.75, "validations": 3, "epoch": 2, "step": 30,
    }  # fmt: skip


def test_a_process_that_does_not_report_counts_too():
    quiet = Pruning(None, MONITOR, "")
    quiet.on_validation_end(trainer(0.5), None)
    assert quiet.state_dict() == {"validations": 1}


def test_a_search_for_the_worst_is_refused():
    with pytest.raises(ConfigError, match="direction=minimize, but .* better the larger: .*direction=maximize"):
        Pruning(None, MONITOR, "minimize")
