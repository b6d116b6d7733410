"""Risk-coverage curves against a calculation by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.risk_coverage import area_under_risk, risk_coverage, threshold_for

SAMPLES = st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.5, 0.9]), st.booleans()), min_size=1, max_size=12)


def test_the_curve_by_hand():
    coverage, risk, lowest = risk_coverage(np.array([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 1, 0]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert lowest.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert area_under_risk(np.array([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 1, 0])) == pytest.approx(
        (1 / 2 + 1 / 3 + 1 / 2) / 4
    )


@settings(max_examples=40, deadline=None)
@given(samples=SAMPLES, seed=st.integers(0, 99))
def test_equal_confidences_count_as_the_mean_over_their_orders(samples, seed):
    confidence, right = (np.array(part, dtype=float) for part in zip(*samples, strict=True))
    random = np.random.default_rng(seed)
    areas = []
    for _ in range(100):  # Geifman & El-Yaniv's definition, with ties broken at random
        order = np.lexsort((random.random(len(right)), -confidence))
        wrong = 1 - right[order]
        areas.append(np.mean([wrong[: k + 1].mean() for k in range(len(wrong))]))
    error = np.std(areas) / 10
    assert abs(area_under_risk(confidence, right) - np.mean(areas)) <= 5 * error + 1e-9
    order = random.permutation(len(right))
    assert area_under_risk(confidence[order], right[order]) == pytest.approx(area_under_risk(confidence, right))


@pytest.mark.parametrize(("coverage", "expected"), [(1.0, 0.1), (0.75, 0.5), (0.7, 0.5), (0.5, 0.7), (0.01, 0.9)])
def test_the_threshold_answers_at_least_the_share(coverage, expected):
    confidence = np.array([0.5, 0.9, 0.1, 0.7])
    assert threshold_for(confidence, coverage) == expected
    assert (confidence >= expected).mean() >= coverage
