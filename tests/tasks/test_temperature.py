"""The fitted temperature is the optimum that scipy finds on the likelihood itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from mmbert.tasks.temperature import COLDEST, HOTTEST, fit_property_temperature, fit_temperature


def likelihood(temperature, logits, truth):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.2, 1.0, 5.0, 30.0]))
def test_it_is_scipys_optimum_of_the_likelihood(seed, scale):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, 120)
    logits = (random.normal(size=(120, 4)) + 1.5 * np.eye(4)[truth]) * scale
    found = minimize_scalar(
        likelihood, bounds=(0.01, 100), args=(logits, truth), method="bounded", options={"xatol": 1e-9}
    )
    assert fit_temperature(logits, truth) == pytest.approx(found.x, rel=1e-4)


def test_a_softened_copy_has_its_temperature():
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 2
    shares = np.exp(log_softmax(logits, axis=1))
    truth = (random.random((4000, 1)) > shares.cumsum(1)).sum(1).clip(max=2)  # drawn from the probabilities
    assert fit_temperature(logits, truth) == pytest.approx(1, abs=0.06)
    assert fit_temperature(logits * 5, truth) == pytest.approx(5 * fit_temperature(logits, truth), rel=1e-6)


def test_where_there_is_no_optimum_a_bound_is_taken():
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, np.array([0, 1])) == COLDEST  # all right: never sure enough
    assert fit_temperature(logits, np.array([1, 0])) == HOTTEST  # all wrong: never unsure enough
    assert fit_temperature(logits * 1e4, np.array([0, 0])) == HOTTEST  # half right at most


def property_likelihood(temperature, logits, truth):
    """Binary cross-entropy, written out; logaddexp(0, -z) is -log of the sigmoid."""
    return np.where(truth == 1, np.logaddexp(0, -logits / temperature), np.logaddexp(0, logits / temperature)).mean()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.2, 1.0, 5.0, 30.0]))
def test_of_properties_it_is_scipys_optimum_of_the_likelihood(seed, scale):
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, (60, 3))
    logits = (random.normal(size=(60, 3)) + 1.2 * (2 * truth - 1)) * scale
    found = minimize_scalar(
        property_likelihood, bounds=(0.01, 100), args=(logits, truth), method="bounded", options={"xatol": 1e-9}
    )
    assert fit_property_temperature(logits, truth) == pytest.approx(found.x, rel=1e-4)
