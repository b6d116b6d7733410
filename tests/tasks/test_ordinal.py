"""CORAL against the published formula in NumPy, scikit-learn's and scipy's metrics, and the laws of tasks."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import UNLABELLED, Fused, State
from mmbert.tasks.ordinal import Ordinal, coral_importance
from mmbert.testing import check_task

COVERS = ("rank_metrics",)
CLASSES = ["1", "2", "3", "4"]


def make(**options):
    torch.manual_seed(0)
    return Ordinal(**{"in_dim": 4, "column": "stars", "classes": CLASSES, **options})


def of(pooled):
    return State(Fused(pooled), {})


def coral_loss(logits, labels, importance):
    """``coral_loss`` of the paper's package: log-sigmoids of the levels, summed over thresholds, mean over samples."""
    levels = (labels[:, None] > np.arange(logits.shape[1])).astype(float)
    log_sigmoid = -np.logaddexp(0, -logits)
    each = (log_sigmoid * levels + (log_sigmoid - logits) * (1 - levels)) * importance
    return -each.sum(1).mean()


@pytest.mark.parametrize("importance", [None, [1.0, 0.5, 0.25]])
def test_the_loss_is_the_papers(importance):
    torch.manual_seed(1)
    task, logits = make(importance_weights=importance), torch.randn(12, 3) * 3
    labels = torch.randint(0, 4, (12,))
    expected = coral_loss(logits.double().numpy(), labels.numpy(), np.ones(3) if importance is None else importance)
    labels[5:7] = UNLABELLED
    known = labels != UNLABELLED
    found = task.loss({"logits": logits}, {"label": labels})
    expected = coral_loss(logits[known].double().numpy(), labels[known].numpy(), importance or np.ones(3))
    assert found.mean.item() == pytest.approx(expected, rel=1e-6) and found.count.item() == 10


def test_the_papers_importance_by_hand():
    # 10, 20, 30, 40 samples: below the thresholds 10, 30, 60, above 90, 70, 40; the larger halves are 90, 70, 60
    assert_close(coral_importance([10, 20, 30, 40]), (torch.tensor([90.0, 70, 60]) / 90).sqrt())
    task = make(importance_weights="balanced", class_counts={"1": 10, "2.0": 20, "3": 30, "4": 40})
    assert_close(task.importance, (torch.tensor([90.0, 70, 60]) / 90).sqrt())
    assert "importance" not in task.state_dict()


def test_all_thresholds_share_one_score():
    task = make()
    logits = task.eval()(of(torch.randn(5, 4)))["logits"]
    steps = logits - logits[:, :1]
    assert_close(steps, steps[:1].expand(5, -1))
    assert_close(logits[0] - logits[0, 0], task.thresholds - task.thresholds[0])
    assert sum(p.numel() for p in task.parameters()) == 4 + 3  # w without a bias, and b_k


def test_probabilities_are_differences_of_neighbouring_thresholds():
    task, logits = make(), torch.tensor([[2.0, 0.5, -1.0], [1.0, 1.5, -3.0]])
    above = logits.double().sigmoid()
    found = task.probabilities({"logits": logits})
    row = [1 - above[0, 0], above[0, 0] - above[0, 1], above[0, 1] - above[0, 2], above[0, 2]]
    assert found[0].tolist() == pytest.approx([float(p) for p in row], abs=1e-6)
    assert found[1, 1] < 1e-6 and found[1].sum().item() == pytest.approx(1)  # thresholds in the wrong order
    assert task.predicted({"logits": logits}).tolist() == [2, 2]


def test_the_answer_counts_thresholds_where_another_class_is_the_most_probable():
    """P(y > k) = 0.6, 0.4, 0.05: one threshold is passed, though 0.4, 0.2, 0.35, 0.05 has its peak at the first."""
    task, outputs = make(), {"logits": torch.tensor([[0.6, 0.4, 0.05]]).logit()}
    assert task.probabilities(outputs).argmax(-1).tolist() == [0] and task.predicted(outputs).tolist() == [1]
    [answer] = task.predict(of(torch.zeros(1, 4)), outputs)
    assert answer["prediction"] == "2" and answer["probabilities"]["2"] == pytest.approx(0.2)
    metrics = task.make_metrics()
    task.update(metrics, outputs, {"label": torch.tensor([1])})
    found = {name: float(metrics[name].compute()) for name in ("accuracy", "mae", "ece")}
    assert found == pytest.approx({"accuracy": 1.0, "mae": 0.0, "ece": 0.8})


@pytest.mark.parametrize("size", [1.0, 40.0, 1e4])
def test_probabilities_of_any_logits_are_numbers_with_gradients(size):
    logits = (torch.tensor([[1.0, 0.0, -1.0], [1.0, 1.0, 1.0], [-2.0, -2.0, -2.0]]) * size).requires_grad_()
    found = make().class_logits({"logits": logits})
    found.sum().backward()
    assert found.isfinite().all() and logits.grad.isfinite().all()
    assert_close(found.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=3, max_size=20), parts=st.integers(1, 3)
)
def test_metrics_equal_other_packages(pairs, parts):
    truth, predicted = torch.tensor(pairs).T
    logits = torch.where(predicted.unsqueeze(1) > torch.arange(3), 1.0, -1.0)
    task = make()
    metrics = task.make_metrics()
    for x, t in zip(logits.chunk(parts), truth.chunk(parts), strict=True):
        task.update(metrics, {"logits": x}, {"label": t})
    found = {name: float(metrics[name].compute()) for name in ("mae", "accuracy", "qwk", "spearman")}
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    if len(truth.unique()) == 1:
        assert math.isnan(found["qwk"]) and math.isnan(found["spearman"])
        assert {"qwk", "spearman", "mcc"} <= set(task.undefined_metrics({"label": truth}))
    else:
        assert found["qwk"] == pytest.approx(
            cohen_kappa_score(truth, predicted, labels=range(4), weights="quadratic"), abs=1e-6
        )
        if len(predicted.unique()) > 1:
            assert found["spearman"] == pytest.approx(spearmanr(truth, predicted).statistic, abs=1e-6)


def test_numbers_are_ordered_by_value_and_words_must_be_by_somebody():
    learnt = Ordinal.fit_labels([10, "2", -3.0, None, 2], "stars")
    assert learnt == {"classes": ["-3", "2", "10"], "class_counts": {"-3": 1, "2": 2, "10": 1}}
    with pytest.raises(DataError, match=r"'stars' holds words such as 'bad'.*classes=\[bad,good,ok\]"):
        Ordinal.fit_labels(["ok", "good", "bad"], "stars")
    assert Ordinal.fit_labels(["ok", "bad"], "stars", ["bad", "ok"])["class_counts"] == {"ok": 1, "bad": 1}
    with pytest.raises(DataError, match="the same label 'ok' throughout the train split"):
        Ordinal.fit_labels(["ok", "ok"], "stars", ["bad", "ok"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"importance_weights": "balanced"}, "needs class_counts"),
        ({"importance_weights": [1.0]}, "give balanced, null, or 3 numbers"),
        ({"importance_weights": "balance"}, "give balanced, null, or 3 numbers"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


@pytest.mark.parametrize("options", [{}, {"calibrate": "temperature", "coverage": 0.75, "hidden_dim": 8}])
def test_the_laws_hold(options):
    check_task(Ordinal, cells=["1", "2", "3", "2", "4", "1", "3", "4"], **options)


def test_a_temperature_changes_no_answer_and_lowers_the_likelihood():
    torch.manual_seed(0)
    task, truth = make(calibrate="temperature"), torch.randint(0, 4, (300,))
    score = (truth + torch.randn(300)).unsqueeze(1)
    outputs = {"logits": 6 * (score - torch.tensor([0.5, 1.5, 2.5]))}  # far too sure
    before = task.predicted(outputs)
    task_metrics = []
    for tune in (False, True):
        if tune:
            task.tune(task.tuning_data(of(None), outputs, {"label": truth}))
        metrics = task.make_metrics()
        task.update(metrics, outputs, {"label": truth})
        task_metrics.append({name: float(value) for name, value in metrics.compute().items()})
    plain, tuned = task_metrics
    assert task.temperature > 1.5 and torch.equal(task.predicted(outputs), before)
    assert all(plain[name] == tuned[name] for name in ("accuracy", "mae", "qwk", "spearman", "f1"))
    assert tuned["nll"] < plain["nll"]
    twin = Ordinal(**json.loads(json.dumps(task.init_args)))
    twin.load_state_dict(task.state_dict())
    assert_close(twin.probabilities(outputs), task.probabilities(outputs))
