"""The model card's results are those of tasks."""

from types import SimpleNamespace

import yaml

from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.model_card import calibration, front_matter


def test_losses_of_the_fusion_are_no_results_of_a_task():
    tasks = {"score": Regression(in_dim=2, column="score")}
    model = SimpleNamespace(named_tasks=lambda: tasks, named_encoders=lambda: {"text": None})
    metrics = {"test/score/mae": 0.5, "test/fusion/kl": 0.1, "test/score/loss": 0.25, "test/loss": 0.35}
    card = yaml.safe_load(front_matter("mine", "table", metrics, ["test"], model))
    results = [metric for entry in card["model-index"][0]["results"] for metric in entry["metrics"]]
    assert [(metric["name"], metric["value"]) for metric in results] == [("score mae", 0.5)]


def test_it_says_whose_probabilities_are_calibrated():
    fitted = Classification(2, "mood", ["a", "b"], calibrate="temperature")
    plain = Classification(2, "kind", ["a", "b"])

    def said(**tasks):
        return calibration(SimpleNamespace(named_tasks=lambda: tasks))

    assert said(kind=plain) == "Probabilities are not calibrated"
    assert said(mood=fitted) == "Probabilities of mood are calibrated by a temperature fitted on validation"
    assert said(mood=fitted, kind=plain).endswith("on validation, those of other tasks are not")
