"""Tasks of a config: their classes, what they learn from labels, and the column that splits are stratified by."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.regression import Regression
from mmbert.training.task_configs import (
    all_tasks,
    class_column,
    class_column_of,
    fit_labels,
    given_arguments,
    task_class,
)

SIZE = {"_target_": "mmbert.tasks.regression.Regression", "column": "size"}
MOOD = {"_target_": "mmbert.tasks.classification.Classification", "column": "mood"}


def table(**columns):
    return SimpleNamespace(
        skip=False,
        path="t.csv",
        column_names=list(columns),
        cells=columns.__getitem__,
        has_column=lambda name: name in columns,
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


@pytest.fixture
def written(tmp_path):
    """``written(labels)``: data whose train rows have these labels; ``val`` has one of its own."""

    def made(labels, **options):
        rows = ["text,label,split", *(f'x,"{label}",train' for label in labels), 'y,"1.5",val']
        (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
        return MultimodalData(tmp_path / "t.csv", splits={"train": "train", "val": "val"}, **options)

    return made


def guessed(data):
    return all_tasks(OmegaConf.create({"tasks": {}}), data)["label"]


def test_a_guess_that_is_not_safe_is_refused_with_cells_rows_and_remedy(written):
    with pytest.raises(DataError) as caught:
        guessed(written(["1.5", "2.5", "NA", "3", "NA", "?"]))
    assert str(caught.value).endswith(
        "t.csv: the column 'label' holds numbers, but not only: 'NA' (2 rows, the first is row 3 (line 4)), "
        "'?' (row 6 (line 7)). If 'NA' or '?' means that there is no label: 'data.na_values=[\"NA\", \"?\"]'. "
        "Or say what the labels are: "
        "+task@tasks.label=classification tasks.label.column=label"
    )
    with pytest.raises(DataError, match=r".*sign such as %: '0,5' \(2 rows.*Write 0.5 or 12"):
        guessed(written(["0,5", "0,5", "1,0"]))
    with pytest.raises(DataError, match=r"what looks like lists and is none: '\[a, b\]'.*Write .*Or say"):
        guessed(written(["[a, b]", "c"]))
    with pytest.raises(DataError, match="'w4' .* and 3 others"):
        guessed(written([*(f"{i}.5" for i in range(9)), *(f"w{i}" for i in range(8))]))


def test_words_that_are_named_as_missing_leave_numbers(written):
    data = written(["1.5", "2.5", "na", "3.5", "-"], na_values=["NA", "-"])
    part = guessed(data)
    assert task_class(part) is Regression and fit_labels(part, data)["mean"] == 2.5
    assert data.cells("label") == [*("1.5", "2.5"), None, "3.5", None]
    assert written(["1.5", "NA"], na_values="NA").cells("label") == ["1.5", None]  # one word needs no list


def test_a_target_must_be_a_task():
    with pytest.raises(ConfigError, match="is no task"):
        task_class(OmegaConf.create({"_target_": "mmbert.fusion.mean.MeanFusion"}))
    with pytest.raises(ConfigError, match="cannot be found"):
        task_class(OmegaConf.create({"_target_": "mmbert.nowhere.Task"}))


def test_a_task_is_given_what_it_asks_for():
    given = 8, {"text": 4}, {"text": "caption"}
    assert given_arguments(OmegaConf.create(SIZE), *given) == {"in_dim": 8}
    part = OmegaConf.create({"_target_": "mmbert.tasks.retrieval.Retrieval"})
    asked = {"dims": {"text": 4}, "input_columns": {"text": "caption"}}
    assert given_arguments(part, *given) == {"in_dim": 8, **asked}
