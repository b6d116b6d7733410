"""Tasks of a config: their classes, what they learn from labels, and the column that splits are stratified by."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, DataError
from mmbert.tasks.regression import Regression
from mmbert.training.task_configs import all_tasks, class_column, class_column_of, fit_labels, task_class, widths

SIZE = {"_target_": "mmbert.tasks.regression.Regression", "column": "size"}
MOOD = {"_target_": "mmbert.tasks.classification.Classification", "column": "mood"}


def table(**columns):
    return SimpleNamespace(
        path="t.csv", column_names=list(columns), cells=columns.__getitem__, has_column=lambda name: name in columns
    )


@pytest.mark.parametrize(
    ("tasks", "column"),
    [
        ({}, "label"),
        ({"a": SIZE, "b": MOOD, "c": {**MOOD, "column": "other"}}, "mood"),
        ({"a": SIZE, "b": None}, None),
        ({"a": {**SIZE, "column": "label"}}, "label"),
        ({"a": {**MOOD, "column": "???"}}, None),
    ],
)
def test_splits_are_stratified_by_the_first_classes(tasks, column):
    assert class_column(OmegaConf.create({"tasks": tasks})) == column


def test_a_built_model_has_the_same_column():
    assert class_column_of({"a": Regression(8, "size")}) is None
    assert class_column_of({"a": Regression(8, "size"), "b": Regression(8, "label")}) == "label"


def test_a_task_learns_from_labels_what_its_config_leaves_open():
    data = table(size=["1", "3", None], mood=["sad", "glad", "sad"])
    assert fit_labels(OmegaConf.create(SIZE), data) == {"mean": 2.0, "std": 1.0}
    assert fit_labels(OmegaConf.create({**SIZE, "mean": 0.5}), data) == {"std": 1.0}
    with pytest.raises(ConfigError, match=r"t.csv has no column 'sise'. Did you mean 'size'"):
        fit_labels(OmegaConf.create({**SIZE, "column": "sise"}), data)
    with pytest.raises(DataError, match=r"^t.csv: Column 'mood'"):
        fit_labels(OmegaConf.create({**SIZE, "column": "mood"}), data)


def test_without_tasks_the_column_called_label_is_one():
    nothing = OmegaConf.create({"tasks": {"gone": None}})
    (part,) = all_tasks(nothing, table(label=["1.5", "2.25", "3.125"])).values()
    assert task_class(part) is Regression and part.column == "label"
    with pytest.raises(ConfigError, match="No task is configured and t.csv has no column 'label'"):
        all_tasks(nothing, table(size=["1"]))
    with pytest.raises(ConfigError, match=r"tasks.a.column=COLUMN. Columns: size"):
        all_tasks(OmegaConf.create({"tasks": {"a": {**SIZE, "column": "???"}}}), table(size=["1"]))


def test_a_target_must_be_a_task():
    with pytest.raises(ConfigError, match="is no task"):
        task_class(OmegaConf.create({"_target_": "mmbert.fusion.mean.MeanFusion"}))
    with pytest.raises(ConfigError, match="cannot be found"):
        task_class(OmegaConf.create({"_target_": "mmbert.nowhere.Task"}))
    assert widths(OmegaConf.create(SIZE), 8, {"text": 4}) == {"in_dim": 8}
