"""A metric that is to decide is measured and has a value, or that is told as soon as it is known."""

import math
from types import SimpleNamespace

import pytest
from torch import tensor

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.training.callbacks.monitored import MonitoredMetrics

NAME = "val/x/pearson"


def validated(callback, fn="fit", sanity=False, **values):
    metrics = {f"val/x/{name}": tensor(value) for name, value in values.items()}
    trainer = SimpleNamespace(
        sanity_checking=sanity, state=SimpleNamespace(fn=fn), callback_metrics=metrics, current_epoch=0
    )
    callback.on_validation_end(trainer, None)


def test_a_first_nan_is_told_once_and_counted(capsys):
    callback = MonitoredMetrics([NAME])
    for value in (math.nan, math.nan, 0.5):
        validated(callback, pearson=value)
        assert callback.never_had_a_value(NAME) == math.isnan(value)
    assert capsys.readouterr().out.count("val/x/pearson has no value after epoch 1: it is not the best") == 1
    assert not callback.never_had_a_value("val/x/mae")


def test_what_was_seen_before_an_interruption_counts():
    first, second = MonitoredMetrics([NAME]), MonitoredMetrics([NAME, "val/loss"])
    validated(first, pearson=0.5)
    second.load_state_dict(first.state_dict())
    assert second.seen == {NAME: [1, 0], "val/loss": [0, 0]}


def test_what_is_not_measured_is_told():
    with pytest.raises(TrainingError, match=r"val/x/pearson is not measured\. Did you mean 'val/x/spearman'"):
        validated(MonitoredMetrics([NAME]), spearman=0.5)
    validated(MonitoredMetrics([NAME]), sanity=True)
    validated(MonitoredMetrics([NAME]), fn="test")
    validated(MonitoredMetrics(["train/loss"]))  # measured at another time


def begun(**options):
    defaults = {"num_training_batches": 4, "accumulate_grad_batches": 1, "max_epochs": 6, "max_steps": -1}
    defaults |= {"check_val_every_n_epoch": 1, "val_check_batch": 4, "enable_validation": True}
    return SimpleNamespace(**defaults | options)


def test_a_training_without_validation_is_refused_where_one_is_needed():
    with pytest.raises(ConfigError, match=r"max_steps=2 .* in step 4 \(.*, so val/x/pearson cannot choose .*=none"):
        MonitoredMetrics([NAME]).on_train_start(begun(max_steps=2), None)
    with pytest.raises(ConfigError, match="limit_val_batches=0 leaves no validation"):
        MonitoredMetrics([NAME]).on_train_start(begun(enable_validation=False), None)
    for names in ([], ["train/loss"]):
        MonitoredMetrics(names).on_train_start(begun(max_steps=2), None)
    MonitoredMetrics([NAME]).on_train_start(begun(), None)
