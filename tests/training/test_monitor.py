"""What chooses a checkpoint is a validation metric, known before training begins, in the right direction."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.monitor import choose_monitor


@pytest.fixture
def tasks():
    return {
        "price": Regression(4, "price", mean=0.0, std=1.0),
        "mood": Classification(4, "mood", classes=["bad", "good"]),
    }


def test_the_first_tasks_main_metric_is_the_default(tasks):
    assert choose_monitor(None, tasks).name == f"val/price/{Regression.main_metric}"


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val/loss", "min"),
        ("val/mood/loss", "min"),
        ("val/mood/accuracy", "max"),
        ("val/mood/f1", "max"),
        ("val/price/mae", "min"),
        ("val/price/rmse", "min"),
        ("val/price/pearson", "max"),
        ("val/price/spearman", "max"),
    ],
)
def test_every_metric_improves_in_its_own_direction(tasks, name, mode):
    monitor = choose_monitor(name, tasks)
    assert (monitor.name, monitor.mode) == (name, mode)


@pytest.mark.parametrize("name", ["test/mood/accuracy", "test_missing/mood/accuracy", "train/loss", "accuracy"])
def test_nothing_but_validation_may_choose(tasks, name):
    with pytest.raises(ConfigError, match="chosen on the validation split alone"):
        choose_monitor(name, tasks)


def test_a_test_metric_is_answered_with_its_validation_twin(tasks):
    with pytest.raises(ConfigError, match="Did you mean 'val/mood/accuracy'"):
        choose_monitor("test/mood/accuracy", tasks)


def test_a_misspelt_metric_is_answered_with_the_nearest(tasks):
    with pytest.raises(ConfigError, match="val/mood/acuracy is not measured. Did you mean 'val/mood/accuracy'"):
        choose_monitor("val/mood/acuracy", tasks)


def test_what_nobody_is_labelled_for_chooses_nothing(tasks):
    with pytest.raises(ConfigError, match="val/price/mae shall .* labelled for the task price.*monitor=val/mood/acc"):
        choose_monitor(None, tasks, ["price"])
    assert choose_monitor("val/mood/f1", tasks, ["price"]).name == "val/mood/f1"
    assert choose_monitor("val/loss", tasks, ["price"]).name == "val/loss"
    with pytest.raises(ConfigError, match="val/loss shall choose the checkpoint, but no sample .* for any task. Label"):
        choose_monitor("val/loss", tasks, ["price", "mood"])
