"""Metrics of predicted classes equal scikit-learn's, with absent classes, one class, and however batches are cut."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torchmetrics import MetricCollection

from mmbert.tasks.class_counts import (
    Accuracy,
    BalancedAccuracy,
    CohenKappa,
    MacroF1,
    MatthewsCorrelation,
    MicroF1,
    WeightedF1,
)

KINDS = {
    "accuracy": (Accuracy, sk.accuracy_score),
    "f1": (MacroF1, lambda t, p: sk.f1_score(t, p, average="macro")),
    "f1_micro": (MicroF1, lambda t, p: sk.f1_score(t, p, average="micro")),
    "f1_weighted": (WeightedF1, lambda t, p: sk.f1_score(t, p, average="weighted")),
    "balanced_accuracy": (BalancedAccuracy, sk.balanced_accuracy_score),
    "mcc": (MatthewsCorrelation, sk.matthews_corrcoef),
    "cohen_kappa": (CohenKappa, sk.cohen_kappa_score),
}
LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


def collection(size=5):
    return MetricCollection({name: kind(size) for name, (kind, _) in KINDS.items()}, compute_groups=[list(KINDS)])


def one_hot(predicted, size=5):
    return torch.nn.functional.one_hot(predicted, size).float()


@settings(max_examples=25, deadline=None)
@given(pairs=LABELS, parts=st.integers(1, 4), given_classes=st.booleans())
def test_every_metric_is_scikit_learns(pairs, parts, given_classes):
    truth, predicted = torch.tensor(pairs).T
    found = collection()
    found.update(torch.zeros(0, 5), truth[:0])  # an empty batch is none
    for t, p in zip(truth.chunk(parts), predicted.chunk(parts), strict=False):
        # scores that name another class than the one that is given are not looked at
        scores = one_hot((p + 1) % 5) if given_classes else one_hot(p)
        found.update(scores, t, predicted=p if given_classes else None)
    for name, value in found.compute().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that occur nowhere
            expected = KINDS[name][1](truth.numpy(), predicted.numpy())
        if name in ("mcc", "cohen_kappa") and len(truth.unique()) == 1:
            assert math.isnan(value), name
        else:
            assert float(value) == pytest.approx(expected, abs=1e-6), name


def test_weighted_f1_by_hand():
    truth, predicted = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 0, 1, 1])
    metric = WeightedF1(3)
    metric.update(one_hot(predicted, 3), truth)
    # predictions: class 0 three times (F1 4/5), class 1 twice (F1 2/4), class 2 never (F1 0)
    assert float(metric.compute()) == pytest.approx((2 * 4 / 5 + 2 * 1 / 2 + 1 * 0) / 5)


def test_without_a_label_there_is_no_value_and_a_reset_forgets():
    found = collection()
    found.update(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64))
    assert all(value.isnan() for value in found.compute().values())
    found.update(one_hot(torch.tensor([1, 2])), torch.tensor([1, 2]))
    found.reset()
    found.update(one_hot(torch.tensor([1, 2])), torch.tensor([1, 0]))
    assert float(found.compute()["accuracy"]) == 0.5


def test_the_group_counts_once():
    found = collection()
    calls = []
    for metric in found.values(copy_state=False):
        metric.update = lambda *args, inner=metric.update, **kwargs: (calls.append(1), inner(*args, **kwargs))
    found.update(one_hot(torch.tensor([1, 2])), torch.tensor([1, 2]))
    found.update(one_hot(torch.tensor([1, 2])), torch.tensor([1, 2]))
    assert len(calls) == 2


def test_many_classes_need_no_square_matrix():
    metric = Accuracy(200_000)
    metric.update(torch.zeros(2, 200_000), torch.tensor([0, 199_999]))
    assert float(metric.compute()) == 0.5 and metric.counts.numel() == 600_000
