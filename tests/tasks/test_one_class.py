"""Calibration and abstention of tasks with one class a sample; which metrics are shown; processes add up."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Fused, State
from mmbert.tasks.classification import Classification
from mmbert.tasks.temperature import fit_temperature
from mmbert.testing import check_task
from mmbert.training.monitor import directions, hidden_metrics

CLASSES = ["a", "b", "c", "d", "e"]


def make(**options):
    return Classification(**{"in_dim": 4, "column": "label", "classes": CLASSES, **options})


def samples(seed=0, count=200):
    torch.manual_seed(seed)
    truth = torch.randint(0, 5, (count,))
    logits = (torch.randn(count, 5) + 1.5 * torch.nn.functional.one_hot(truth, 5)) * 4
    return {"logits": logits}, {"label": truth}


def tuned(task, outputs, targets):
    data = task.tuning_data(State(Fused(torch.zeros(0, 4)), {}), outputs, targets)
    return task.tune([entry for entry in data if entry is not None])


def measured(task, outputs, targets):
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    return {name: float(value) for name, value in metrics.compute().items()}


def answers(task, outputs):
    return task.predict(State(Fused(torch.zeros(0, 4)), {}), outputs)


# ---- calibration


def test_a_temperature_changes_probabilities_and_no_answer():
    plain, task = make(), make(calibrate="temperature")
    outputs, targets = samples()
    targets["label"][::9] = UNLABELLED
    chosen = tuned(task, outputs, targets)
    known = targets["label"] != UNLABELLED
    expected = fit_temperature(outputs["logits"][known].numpy(), targets["label"][known].numpy())
    assert chosen == {"temperature": pytest.approx(expected)} and expected > 2
    before, after = measured(plain, outputs, targets), measured(task, outputs, targets)
    for name in ("accuracy", "f1", "f1_weighted", "balanced_accuracy", "mcc", "cohen_kappa"):
        assert before[name] == after[name], name  # to the last digit
    assert after["ece"] < before["ece"] / 2 and after["nll"] < before["nll"] and after["brier"] < before["brier"]
    scaled = (outputs["logits"] / expected).softmax(-1)
    assert_close(torch.tensor(list(answers(task, outputs)[3]["probabilities"].values())), scaled[3])


def test_near_ties_keep_their_answer_at_any_temperature():
    task = make(calibrate="temperature")
    task.temperature.fill_(100.0)
    logits = torch.zeros(1, 5)
    logits[0, 3] = 1e-7  # at this temperature a difference that float32 cannot hold beside 1
    assert answers(task, {"logits": logits})[0]["prediction"] == "d"


def test_the_temperature_is_saved_and_models_without_one_load_as_before():
    task = make(calibrate="temperature", coverage=0.5)
    outputs, targets = samples()
    tuned(task, outputs, targets)
    twin = Classification(**json.loads(json.dumps(task.init_args)))
    twin.load_state_dict(task.state_dict())
    assert answers(twin, outputs) == answers(task, outputs)
    assert set(make().state_dict()) == {"head.1.weight", "head.1.bias"}


# ---- abstention


def test_answers_below_the_threshold_are_left_out_and_their_probabilities_kept():
    task = make(abstain_below=0.7)
    logits = torch.tensor([[0.6, 0.1, 0.1, 0.1, 0.1], [0.7001, 0.2, 0.05, 0.03, 0.02]]).log()
    unsure, sure = answers(task, {"logits": logits})
    assert unsure["prediction"] is None and unsure["probabilities"]["a"] == pytest.approx(0.6)
    assert sure["prediction"] == "a"
    found = measured(task, {"logits": logits}, {"label": torch.tensor([0, 1])})
    assert found["coverage"] == 0.5 and found["selective_accuracy"] == 0.0 and found["accuracy"] == 0.5


@pytest.mark.parametrize("calibrate", [None, "temperature"])
@pytest.mark.parametrize("coverage", [0.3, 0.8, 1.0])
def test_a_coverage_answers_this_share_of_validation(calibrate, coverage):
    task = make(coverage=coverage, calibrate=calibrate)
    outputs, targets = samples()
    chosen = tuned(task, outputs, targets)
    given = [answer["prediction"] for answer in answers(task, outputs)]
    assert np.mean([answer is not None for answer in given]) == pytest.approx(coverage)
    assert measured(task, outputs, targets)["coverage"] == pytest.approx(coverage)
    lowest = min(max(answer["probabilities"].values()) for answer in answers(task, outputs) if answer["prediction"])
    assert chosen["threshold"] == pytest.approx(lowest)


def test_one_threshold_is_enough():
    with pytest.raises(ConfigError, match=r"abstain_below=0.7 and coverage=0.9: the one is the threshold"):
        make(abstain_below=0.7, coverage=0.9)


@pytest.mark.parametrize("options", [{"calibrate": "temperature", "coverage": 0.75}, {"top_k": [2, 3, 9]}])
def test_the_laws_hold_with_every_option(options):
    check_task(Classification, cells=["a", "b", "c", "d", "b", "a", "d", "c"], **options)


# ---- metrics


def test_top_k_is_measured_below_the_number_of_classes():
    assert {name for name in make(top_k=[1, 3, 5, 10]).make_metrics() if name.startswith("top_")} == {
        "top_1_accuracy",
        "top_3_accuracy",
    }
    assert "top_3_accuracy" not in make(classes=["a", "b", "c"]).make_metrics()


def test_every_metric_can_choose_the_checkpoint_and_tables_show_the_usual_ones():
    tasks = {"mood": make(coverage=0.9)}
    modes = directions(tasks)
    for name in ("f1_weighted", "f1_micro", "balanced_accuracy", "mcc", "cohen_kappa", "top_3_accuracy", "coverage"):
        assert modes[f"val/mood/{name}"] == "max"
    for name in ("nll", "brier", "ece", "aurc"):
        assert modes[f"val/mood/{name}"] == "min"
    shown = {"accuracy", "f1", "auroc", "coverage", "selective_accuracy"}
    every = {f"mood/{name}" for name in tasks["mood"].make_metrics()}
    assert hidden_metrics(tasks) == every - {f"mood/{name}" for name in shown}
    assert "mood/f1_weighted" not in hidden_metrics(tasks, "val/mood/f1_weighted")
    assert hidden_metrics({"mood": make(shown_metrics=None)}) == set()
    with pytest.raises(ConfigError, match="no 'f1_weigted'. Did you mean 'f1_weighted'"):
        make(shown_metrics=["f1_weigted"])


def test_one_class_leaves_what_cannot_be_measured():
    found = make().undefined_metrics({"label": torch.tensor([2, 2, UNLABELLED])})
    assert set(found) == {"auroc", "mcc", "cohen_kappa"} and "all 2 labelled samples" in found["mcc"]
