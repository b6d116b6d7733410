"""Metrics of probabilities against scikit-learn, torchmetrics and calculations by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_calibration_error

from mmbert.core.calibration import reliability
from mmbert.tasks.confidence_metrics import (
    BrierScore,
    CalibrationError,
    Coverage,
    NegativeLogLikelihood,
    PropertyCalibrationError,
    RiskCoverageArea,
    SelectiveAccuracy,
    TopKAccuracy,
)


def measured(metric, probabilities, truth, parts=3, **more):
    for i, (p, t) in enumerate(zip(probabilities.chunk(parts), truth.chunk(parts), strict=True)):
        metric.update(p, t, **{name: value.chunk(parts)[i] for name, value in more.items()})
    return float(metric.compute())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(4, 6), scale=st.sampled_from([0.1, 1.0, 8.0]))
def test_they_equal_other_packages(seed, size, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, size, generator=generator) * scale
    truth = torch.randint(0, size - 1, (40,), generator=generator)  # one class occurs nowhere
    p, labels = logits.softmax(-1), list(range(size))
    numpy = p.double().numpy() / p.double().numpy().sum(1, keepdims=True)
    by_hand = -np.log(numpy[np.arange(40), truth]).mean()
    assert measured(NegativeLogLikelihood(), p, truth) == pytest.approx(by_hand, rel=1e-4)
    if numpy.min() > 1e-15:  # scikit-learn takes smaller ones for 2.2e-16
        assert by_hand == pytest.approx(log_loss(truth, numpy, labels=labels), rel=1e-6)
    expected = brier_score_loss(truth, numpy, labels=labels, scale_by_half=False)
    assert measured(BrierScore(), p, truth) == pytest.approx(expected, abs=1e-5)
    expected = top_k_accuracy_score(truth, logits.numpy(), k=3, labels=labels)
    assert measured(TopKAccuracy(3), logits, truth) == pytest.approx(expected)
    expected = multiclass_calibration_error(p, truth, num_classes=size, n_bins=15, norm="l1")
    assert measured(CalibrationError(), p, truth) == pytest.approx(float(expected), abs=1e-6)
    right = (p.argmax(1) == truth).numpy()
    assert measured(CalibrationError(), p, truth) == pytest.approx(
        reliability(p.max(1).values.numpy(), right).error, abs=1e-6
    )


def test_certain_answers_share_the_last_bin():
    """Confidences 1, 1, 0.94, 0.94 lie in one bin of 15: mean 0.97, of which 3 in 4 are right (Guo et al. 2017)."""
    p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.94, 0.06], [0.94, 0.06]])
    assert measured(CalibrationError(), p, torch.tensor([1, 0, 0, 0])) == pytest.approx(0.97 - 0.75, abs=1e-6)
    found = measured(PropertyCalibrationError(), p[:, :1], torch.tensor([[0], [1], [1], [1]]))
    assert found == pytest.approx(0.97 - 0.75, abs=1e-6)


def test_equal_scores_put_the_first_classes_first_so_that_top_1_is_the_accuracy():
    scores = torch.ones(3, 4)
    assert measured(TopKAccuracy(1), scores, torch.tensor([0, 1, 3]), parts=1) == pytest.approx(1 / 3)
    assert measured(TopKAccuracy(3), scores, torch.tensor([0, 1, 3]), parts=1) == pytest.approx(2 / 3)


def test_a_probability_of_zero_costs_much_and_not_infinity():
    loss = measured(NegativeLogLikelihood(), torch.tensor([[1.0, 0.0]]), torch.tensor([1]), parts=1)
    assert loss == pytest.approx(87.3, abs=0.1)


def test_the_area_by_hand():
    # by confidence: right, wrong, right, wrong; risks 0/1, 1/2, 1/3, 2/4
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    truth = torch.tensor([0, 1, 1, 1])
    assert measured(RiskCoverageArea(), p, truth, parts=2) == pytest.approx(np.mean([0, 1 / 2, 1 / 3, 1 / 2]))


def test_the_confidence_is_that_of_the_answer_where_it_is_not_the_most_probable_class():
    p, truth = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]]), torch.tensor([1, 1])
    found = measured(CalibrationError(), p, truth, parts=1, predicted=torch.tensor([1, 1]))
    assert found == pytest.approx((abs(1 - 0.2) + abs(1 - 0.8)) / 2)


def test_coverage_and_the_accuracy_of_what_is_answered():
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    truth = torch.tensor([0, 1, 1, 1])
    lowest = float(p[2, 1])  # an answer of just this probability is given
    assert measured(Coverage(lowest), p, truth, parts=2) == 0.75
    assert measured(SelectiveAccuracy(lowest), p, truth, parts=2) == pytest.approx(2 / 3)
    assert np.isnan(measured(SelectiveAccuracy(0.95), p, truth, parts=2))


@pytest.mark.parametrize(
    "metric", [CalibrationError(), RiskCoverageArea(), Coverage(0.5), BrierScore(), TopKAccuracy(2)], ids=repr
)
def test_without_a_label_there_is_no_value(metric):
    metric.update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    assert metric.compute().isnan()
