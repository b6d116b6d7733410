"""A split's predictions: every sample once, in the order of its table, in the labels' own words."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmbert.core.types import UNLABELLED
from mmbert.runs.predictions import PredictionTable
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression

NAN = float("nan")


@pytest.fixture
def table():
    """Rows 2, 0, 1 in two batches, row 0 a second time to fill the last one."""
    tasks = {
        "answer": Classification(4, "answer", ["3", "5"]),
        "properties": Multilabel(4, "properties", ["even", "prime"]),
        "value": Regression(4, "value"),
    }
    table = PredictionTable()
    log3 = float(np.log(3))
    table.add(
        torch.tensor([2, 0]),
        tasks,
        {
            "answer": torch.tensor([[log3, 0.0], [0.0, log3]]),  # probabilities 3/4 and 1/4, then 1/4 and 3/4
            "properties": torch.tensor([[log3, -log3], [-log3, -log3]]),  # 3/4, 1/4; 1/4, 1/4
            "value": torch.tensor([2.5, 0.5]),
        },
        {
            "answer": torch.tensor([1, 0]),
            "properties": torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
            "value": torch.tensor([2.0, NAN]),
        },
    )
    table.add(
        torch.tensor([1, 0]),
        tasks,
        {
            "answer": torch.tensor([[0.0, log3], [0.0, log3]]),
            "properties": torch.full((2, 2), log3),
            "value": torch.tensor([1.5, 0.5]),
        },
        {
            "answer": torch.tensor([UNLABELLED, 0]),
            "properties": torch.full((2, 2), NAN),
            "value": torch.tensor([1.0, NAN]),
        },
    )
    return table


def test_the_file_has_a_row_a_sample_in_order(table, tmp_path):
    table.write(tmp_path / "predictions" / "test.parquet")
    read = pd.read_parquet(tmp_path / "predictions" / "test.parquet", dtype_backend="pyarrow")
    assert read["row"].tolist() == [0, 1, 2]
    assert read["answer/target"].tolist() == ["3", pd.NA, "5"]
    assert read["answer/prediction"].tolist() == ["5", "5", "3"]
    probabilities = pd.DataFrame(read["answer/probabilities"].tolist())  # a column a class
    assert probabilities.columns.tolist() == ["3", "5"]
    assert probabilities.to_numpy() == pytest.approx(np.array([[0.25, 0.75], [0.25, 0.75], [0.75, 0.25]]))
    assert [x if x is pd.NA else list(x) for x in read["properties/target"]] == [[], pd.NA, ["even", "prime"]]
    assert [list(x) for x in read["properties/prediction"]] == [[], ["even", "prime"], ["even"]]
    assert read["value/prediction"].tolist() == [0.5, 1.5, 2.5]
    assert read["value/target"].isna().tolist() == [True, False, False]
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["test.parquet"]


def test_truth_and_judgement_of_labelled_samples(table):
    targets, probabilities = table.labelled("answer")
    assert targets.tolist() == [0, 1]  # rows 0 and 2
    assert probabilities == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]]))
    targets, probabilities = table.labelled("properties")
    assert targets.tolist() == [[0, 0], [1, 1]]
    assert probabilities == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.25]]))
    targets, numbers = table.labelled("value")
    assert (targets.tolist(), numbers.tolist()) == ([1.0, 2.0], [1.5, 2.5])


def test_kinds_are_told_apart(table):
    kinds = [table.kind(task) for task in table.tasks]
    assert kinds == ["classification", "multilabel", "regression"]


def test_the_first_samples_for_a_tracker(table):
    first, second = table.records(2)
    assert first == {
        "row": 0,
        "answer/target": "3",
        "properties/target": [],
        "value/target": None,
        "answer/prediction": "5",
        "properties/prediction": [],
        "value/prediction": 0.5,
    }
    assert second["row"] == 1
    assert len(table) == 3 and len(table.records(99)) == 3


def test_one_process_gathers_nothing(table):
    assert table.gather() is table and table.rows == [0, 1, 2]


def test_all_processes_end_with_all_samples_once(monkeypatch):
    """What another rank holds arrives through all_gather_object, a padded copy among it."""
    mine, other = PredictionTable(), PredictionTable()
    said = {"target": ["a"], "prediction": ["a"], "probabilities": [{"a": 0.75, "b": 0.25}]}
    for row in (0, 2):
        mine.add_decoded([row], {"t": said})
    for row in (1, 0):
        other.add_decoded([row], {"t": {**said, "prediction": ["b"]}})

    def all_gather_object(parts, own):
        parts[:] = [own, (other._rows, other._columns)]

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)
    assert mine.gather().to_arrow().to_pydict()["t/prediction"] == ["a", "b", "a"]
    assert mine.rows == [0, 1, 2]
