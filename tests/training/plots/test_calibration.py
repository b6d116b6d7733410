"""The expected calibration error against a loop, against torchmetrics, and by hand."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from mmbert.core.calibration import judgements, reliability
from mmbert.training.plots.calibration import reliability_diagram


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def by_loop(confidence, true, bins):
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, c in enumerate(confidence) if (low < c <= high) or (b == 0 and c == 0)]
        if inside:
            gap = abs(np.mean([true[i] for i in inside]) - np.mean([confidence[i] for i in inside]))
            total += len(inside) / len(confidence) * gap
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_classes(seed, bins):
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.normal(0, 2, (300, 5)))
    targets = rng.integers(0, 5, 300)
    confidence, true = judgements(targets, probabilities)
    error = reliability(confidence, true, bins).error
    assert error == pytest.approx(by_loop(confidence, true, bins), abs=1e-12)
    reference = MulticlassCalibrationError(5, n_bins=bins)(torch.tensor(probabilities), torch.tensor(targets))
    assert error == pytest.approx(float(reference), abs=1e-6)


def test_properties():
    rng = np.random.default_rng(7)
    probabilities, targets = rng.uniform(size=(200, 3)), rng.integers(0, 2, (200, 3))
    confidence, true = judgements(targets, probabilities)
    error = reliability(confidence, true).error
    assert error == pytest.approx(by_loop(confidence, true, 15), abs=1e-12)
    reference = BinaryCalibrationError(n_bins=15)(torch.tensor(probabilities.ravel()), torch.tensor(targets.ravel()))
    assert error == pytest.approx(float(reference), abs=1e-6)


def test_by_hand_with_edges_and_empty_bins():
    found = reliability(np.array([0.0, 0.5, 0.6, 1.0]), np.array([0, 1, 0, 1]), bins=2)
    assert found.counts.tolist() == [2, 2]  # 0.5 belongs to the lower bin
    assert found.error == pytest.approx(0.5 * abs(0.5 - 0.25) + 0.5 * abs(0.5 - 0.8))
    only = reliability(np.array([0.9, 1.0]), np.array([1, 1]), bins=10)
    assert np.isnan(only.accuracy[:8]).all() and only.error == pytest.approx(0.05)


def test_the_diagram_shows_the_bins_and_the_error():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    figure = reliability_diagram(np.array([0, 1, 1]), probabilities, "answer")
    axes = figure.axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "came true")
    assert line.get_xydata() == pytest.approx(np.array([[0.7, 1.0], [0.8, 0.0], [0.9, 1.0]]))
    assert f"{(0.3 + 0.8 + 0.1) / 3:.3f}" in axes.get_title(loc="left")
