"""Calibration by hand: bins, their means, and the expected calibration error."""

import numpy as np
import pytest

from mmbert.core.calibration import judgements, reliability


def test_bins_means_and_error_by_hand():
    """Two bins: (0, ½] with 0.2 and 0.5, one of them true; (½, 1] with 0.6 and 1.0, both true."""
    found = reliability(np.array([0.2, 0.5, 0.6, 1.0]), np.array([1, 0, 1, 1]), bins=2)
    assert found.counts.tolist() == [2, 2]
    assert found.confidence == pytest.approx([0.35, 0.8]) and found.accuracy == pytest.approx([0.5, 1.0])
    assert found.error == pytest.approx(0.5 * 0.15 + 0.5 * 0.2)


def test_zero_is_in_the_first_bin_and_empty_bins_have_no_part_in_the_error():
    found = reliability(np.array([0.0, 0.05]), np.array([0, 0]), bins=4)
    assert found.counts.tolist() == [2, 0, 0, 0] and np.isnan(found.accuracy[1:]).all()
    assert found.error == pytest.approx(0.025)


def test_judgements_of_classes_and_of_labels():
    probabilities = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    confidence, true = judgements(np.array([0, 0, 0]), probabilities)
    assert confidence.tolist() == [0.7, 0.6, 0.9] and true.tolist() == [1, 0, 1]
    confidence, true = judgements(np.array([[1, 0], [0, 0], [1, 1]]), probabilities)
    assert confidence.tolist() == [0.7, 0.3, 0.4, 0.6, 0.9, 0.1] and true.tolist() == [1, 0, 0, 0, 1, 1]
