"""What chooses a checkpoint is a validation metric, known before training begins, in the right direction."""

import math
from contextlib import nullcontext

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression
from mmbert.training.monitor import check_callbacks, choose_monitor


@pytest.fixture
def tasks():
    return {
        "price": Regression(4, "price", mean=0.0, std=1.0),
        "mood": Classification(4, "mood", classes=["bad", "good"]),
    }


def test_the_default_is_the_mean_loss_of_several_tasks_and_the_main_metric_of_one(tasks):
    chosen = choose_monitor(None, tasks)
    assert (chosen.name, chosen.mode, chosen.note) == ("val/mean_loss", "min", "")
    for name, metric, mode in (("price", "mae", "min"), ("mood", "accuracy", "max")):
        chosen = choose_monitor(None, {name: tasks[name]})
        assert (chosen.name, chosen.mode, chosen.note) == (f"val/{name}/{metric}", mode, "")
    tasks["price"].weight = 0  # a task that is not trained has no say
    assert choose_monitor(None, tasks).name == "val/mood/accuracy"
    with pytest.raises(ConfigError, match="val/mean_loss is not measured"):
        choose_monitor("val/mean_loss", {"mood": tasks["mood"]})


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
    with pytest.raises(ConfigError, match="val/price/r2 shall .* labelled for the task price.*monitor=val/mood/acc"):
        choose_monitor("val/price/r2", tasks, ["price"])
    assert choose_monitor("val/mood/f1", tasks, ["price"]).name == "val/mood/f1"
    assert choose_monitor("val/loss", tasks, ["price"]).name == "val/loss"
    with pytest.raises(ConfigError, match="val/loss shall choose the checkpoint, but no sample .* for any task. Label"):
        choose_monitor("val/loss", tasks, ["price", "mood"])


def test_the_default_is_what_can_be_measured(tasks):
    chosen = choose_monitor(None, tasks, ["price"])
    assert (chosen.name, chosen.mode) == ("val/mood/accuracy", "max")
    assert chosen.note == "no sample of val is labelled for price: val/mood/accuracy chooses the checkpoint"
    three = {**tasks, "size": Regression(4, "size", mean=0.0, std=1.0)}
    chosen = choose_monitor(None, three, ["size"])
    assert chosen.name == "val/mean_loss"
    assert chosen.note == "no sample of val is labelled for size: val/mean_loss is that of the others"
    alone = {"price": tasks["price"]}
    chosen = choose_monitor(None, alone, [], {"val/price/mae": "why"})
    assert (chosen.name, chosen.mode) == ("val/price/loss", "min")
    assert chosen.note == "val/price/mae has no value on val (why): val/price/loss chooses the checkpoint"
    assert choose_monitor(None, tasks, [], {"val/mood/auroc": "why"}).note == ""
    with pytest.raises(ConfigError, match="no sample of the validation split is labelled for any task. Label"):
        choose_monitor(None, tasks, ["price", "mood"])


def test_a_metric_without_a_value_is_refused_with_those_that_have_one(tasks):
    undefined = {"val/price/r2": "all labels are 3", "val/price/pearson": "all labels are 3"}
    with pytest.raises(ConfigError) as caught:
        choose_monitor("val/price/r2", tasks, [], undefined)
    assert str(caught.value) == (
        "monitor=val/price/r2 has no value on the validation split: all labels are 3. Choose another metric "
        "(monitor=val/price/loss, monitor=val/price/mae, monitor=val/price/rmse, monitor=val/price/spearman), or give "
        "the split other samples."
    )


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val/price/r2", "callbacks.stop.monitor=val/price/r2 has no value on the validation split: all labels are 3"),
        ("val/mood/f1", "callbacks.stop.monitor=val/mood/f1 has no value on .*: no sample is labelled for mood"),
        ("val/price/mea", "callbacks.stop.monitor=val/price/mea is not measured. Did you mean 'val/price/mae'"),
        ("val/price/mae", None),
        ("val/fusion/contrastive", None),
        ("train/loss", None),
        (None, None),
    ],
)
def test_what_a_callback_monitors_is_held_against_the_split_too(tasks, monitor, message):
    callbacks = {"stop": {"monitor": monitor}, "other": {"x": 1}, "gone": None}
    context = nullcontext() if message is None else pytest.raises(ConfigError, match=message)
    with context:
        check_callbacks(callbacks, tasks, ["mood"], {"val/price/r2": "all labels are 3"})


@pytest.mark.parametrize("seed", range(30))
def test_undefined_is_what_is_nan_whatever_is_predicted(seed):
    """Labels are drawn so that they are often alike, predictions so that no two are."""
    draw = torch.Generator().manual_seed(seed)
    size = int(torch.randint(1, 5, (), generator=draw))
    unlabelled = torch.rand(size, generator=draw) < 0.3
    for task, label, outputs in (
        (
            Classification(4, "c", classes=["a", "b", "c"]),
            torch.where(unlabelled, UNLABELLED, torch.randint(0, 2, (size,), generator=draw)),
            {"logits": torch.randn(size, 3, generator=draw)},
        ),
        (
            Multilabel(4, "c", classes=["a", "b"]),
            (torch.rand(size, 2, generator=draw) < 0.3).float().masked_fill(unlabelled.unsqueeze(1), math.nan),
            {"logits": torch.randn(size, 2, generator=draw) - 9},  # no property is predicted
        ),
        (
            Regression(4, "c", mean=0.0, std=1.0),
            torch.randint(0, 2, (size,), generator=draw).float().masked_fill(unlabelled, math.nan),
            {"value": torch.randn(size, generator=draw)},
        ),
    ):
        targets, metrics = {"label": label}, task.make_metrics()
        if not task.labelled(targets).any():
            assert task.undefined_metrics(targets) == {}  # that the whole task has no label is told by another check
            continue
        task.update(metrics, outputs, targets)
        missing = {key for key, value in metrics.compute().items() if math.isnan(float(value))}
        assert set(task.undefined_metrics(targets)) == missing, (task.kind, label)


def test_reasons_say_what_the_labels_are():
    def reason(task, *labels, metric):
        encoded = [task.encode({"c": label}, {}) for label in labels]
        return task.undefined_metrics(task.collate(encoded))[metric]

    mood = Classification(4, "c", classes=["bad", "good"])
    assert reason(mood, "bad", None, "bad", metric="auroc") == "all 2 labelled samples are of the class 'bad'"
    assert reason(mood, "bad", metric="auroc") == "the only labelled sample is of the class 'bad'"
    assert reason(Regression(4, "c"), 3, 3, metric="r2") == "all 2 labelled samples are at 3"
    tags = Multilabel(4, "c", classes=["a", "b"])
    assert reason(tags, "[]", "[]", metric="map") == "all 2 labelled samples are without any property"
    assert "some labelled samples have and others have not" in reason(tags, "a", "a", metric="auroc")
