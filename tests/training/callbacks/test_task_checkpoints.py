"""Which tasks get a checkpoint of their own, what chooses it, and when there can be none."""

import pytest
import torch
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.callbacks.task_checkpoints import kept_for_tasks, task_checkpoints
from mmbert.training.monitor import Monitor, task_monitors

MONITORS = {"mood": Monitor("val/mood/accuracy", "max"), "price": Monitor("val/price/mae", "min")}


def config(per_task=True, callback="ModelCheckpoint", enable=None):
    callbacks = {"one": {"_target_": f"pytorch_lightning.callbacks.{callback}"}, "gone": None}
    return OmegaConf.create(
        {"checkpoint": {"per_task": per_task}, "callbacks": callbacks, "trainer": {"enable_checkpointing": enable}}
    )


def test_each_task_has_a_file_and_a_state_of_its_own(tmp_path):
    savers = task_checkpoints(config(), MONITORS, RunFolder(tmp_path))
    assert [(one.task, one.filename, one.monitor, one.mode) for one in savers] == [
        ("mood", "best_mood", "val/mood/accuracy", "max"),
        ("price", "best_price", "val/price/mae", "min"),
    ]
    assert len({one.state_key for one in savers}) == 2 and all(one.save_weights_only for one in savers)
    assert task_checkpoints(config(per_task=False), MONITORS, RunFolder(tmp_path)) == []
    assert task_checkpoints(config(), {"mood": MONITORS["mood"]}, RunFolder(tmp_path)) == []  # it is the run's own
    assert kept_for_tasks(savers) == []
    for one, score in zip(savers, (0.5, float("nan")), strict=True):
        one.best_model_path, one.best_model_score = "best.ckpt", torch.tensor(score)
    assert kept_for_tasks([object(), *savers]) == savers[:1]  # a metric without a value chooses nothing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"callback": "EarlyStopping"}, "there is no callbacks.checkpoint"),
        ({"enable": False}, "trainer.enable_checkpointing=false"),
    ],
)
def test_no_choice_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=f"checkpoint.per_task=true .*{message}"):
        task_checkpoints(config(**options), MONITORS, RunFolder(tmp_path))


def test_a_task_chooses_by_its_main_metric_if_it_can():
    tasks = {"price": Regression(4, "price"), "mood": Classification(4, "mood", classes=["a", "b"])}
    assert task_monitors(tasks, [], {}) == {"price": MONITORS["price"], "mood": MONITORS["mood"]}
    assert set(task_monitors(tasks, ["price"], {})) == {"mood"}
    assert task_monitors(tasks, [], {"val/price/mae": "why"})["price"].name == "val/price/loss"
    tasks["mood"].weight = 0
    assert set(task_monitors(tasks, [], {})) == {"price"}
