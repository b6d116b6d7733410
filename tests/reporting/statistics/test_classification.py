"""Confusion, precision, recall and ROC of five judged samples, counted by hand."""

import numpy as np
import pandas as pd
import pytest

from mmbert.reporting.statistics.classification import (
    ClassificationResults,
    classification_results,
    results_from_table,
    tasks_in,
)

#: Truth a a b b b, predictions a b b b a; nobody is c.
RESULTS = ClassificationResults(
    ("a", "b", "c"),
    np.array([0, 0, 1, 1, 1]),
    np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.9, 0.0], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]),
)


def write_predictions(folder, targets, probabilities):
    (folder / "predictions").mkdir(parents=True)
    answers = [max(row, key=row.get) for row in probabilities]
    table = pd.DataFrame({"mood/target": targets, "mood/prediction": answers, "mood/probabilities": probabilities})
    table.to_parquet(folder / "predictions" / "test.parquet")
    return folder


def test_the_confusion_matrix_has_the_truth_in_its_rows():
    assert RESULTS.predictions.tolist() == [0, 1, 1, 1, 0]
    assert RESULTS.confusion().tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_what_is_undefined_of_a_class_is_none():
    a, b, c = RESULTS.by_class()
    assert a == {"class": "a", "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2}
    assert b == {"class": "b", "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
    assert c == {"class": "c", "precision": None, "recall": None, "f1": None, "support": 0}


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    one = ClassificationResults(("a", "b"), np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
    # right ones have 0.9 and 0.4, wrong ones 0.1 and 0.6: of four pairs, 0.4 against 0.6 alone is in the wrong order
    assert one.roc()[2] == pytest.approx(3 / 4)


def test_calibration_compares_confidence_with_accuracy():
    one = ClassificationResults(("a", "b"), np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    assert one.calibration().error == pytest.approx(0.4)  # confidence 0.9, half are right


def test_a_class_that_training_never_saw_is_left_out():
    shares = [{"a": 0.75, "b": 0.25}] * 3
    found = results_from_table(pd.Series(["b", "new", "a"]), pd.Series(shares), pd.Series(["a", "a", None]))
    assert found.classes == ("a", "b") and found.targets.tolist() == [1, 0]
    assert found.probabilities.tolist() == [[0.75, 0.25]] * 2


def test_runs_are_read_in_a_row_and_unlabelled_samples_left_out(tmp_path):
    first = write_predictions(tmp_path / "1", ["a", None], [{"a": 0.9, "b": 0.1}, {"a": 0.5, "b": 0.5}])
    second = write_predictions(tmp_path / "2", ["b", "b"], [{"a": 0.2, "b": 0.8}, {"a": 0.7, "b": 0.3}])
    assert tasks_in(first, "test") == ["mood"] and tasks_in(first, "val") == []
    found = classification_results([first, second, tmp_path / "gone"], "test", "mood")
    assert found.targets.tolist() == [0, 1, 1] and found.predictions.tolist() == [0, 1, 0]
    assert classification_results([first], "test", "other") is None
    other = write_predictions(tmp_path / "3", ["a"], [{"a": 0.9, "c": 0.1}])
    assert classification_results([first, other], "test", "mood") is None, "other classes"


def test_samples_with_nothing_to_judge_are_left_out(tmp_path):
    folder = write_predictions(tmp_path, ["a", "b"], [{"a": 0.1, "b": 0.9}, {"a": 0.2, "b": 0.8}])
    table = pd.read_parquet(folder / "predictions" / "test.parquet")
    table["row"] = [0, 1]
    table.loc[0, ["mood/prediction", "mood/probabilities"]] = None
    table.to_parquet(folder / "predictions" / "test.parquet")
    assert classification_results([folder], "test", "mood").targets.tolist() == [1]


def test_the_answers_count_where_they_are_not_the_most_probable_classes():
    shares = [{"a": 0.4, "b": 0.25, "c": 0.35}, {"a": 0.7, "b": 0.2, "c": 0.1}]
    found = results_from_table(pd.Series(["b", "a"]), pd.Series(shares), pd.Series(["b", None]))
    assert found.predictions.tolist() == [1, 0]  # of the second none was given: the most probable class
    coverage, risk, area = found.risk()  # confidences 0.25 and 0.7, both right
    assert coverage.tolist() == [0.5, 1.0] and risk.tolist() == [0, 0] and area == 0


def test_risk_and_coverage_by_hand():
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    coverage, risk, area = ClassificationResults(("a", "b"), np.array([0, 1, 0]), shares).risk()
    assert risk.tolist() == pytest.approx([0, 1 / 2, 2 / 3]) and area == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert coverage.tolist() == pytest.approx([1 / 3, 2 / 3, 1])
