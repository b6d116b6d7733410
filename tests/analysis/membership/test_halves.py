"""Each sample is in exactly half of the models, independently of all others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.analysis.membership.halves import random_halves


@given(half=st.integers(1, 20), samples=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
def test_every_sample_is_in_half_of_the_models_and_seeds_reproduce(half, samples, seed):
    member = random_halves(2 * half, samples, seed)
    assert member.shape == (2 * half, samples) and (member.sum(0) == half).all()
    assert (member == random_halves(2 * half, samples, seed)).all()


def test_samples_are_independent_and_models_alike():
    member = random_halves(64, 4000, 0)
    assert (member != random_halves(64, 4000, 1)).any()
    # sizes of models are sums of tosses: mean N / 2, standard deviation √N / 2
    assert np.abs(member.sum(1) - 2000).max() < 5 * np.sqrt(4000) / 2
    assert 0.5 < member.sum(1).std() / (np.sqrt(4000) / 2) < 1.5
    # two samples agree as often as independent halves do
    correlation = np.corrcoef(member.T[:300].astype(float))
    assert abs(correlation[np.triu_indices(300, 1)].mean()) < 0.005


def test_an_odd_number_has_no_half():
    with pytest.raises(ValueError, match="models=5"):
        random_halves(5, 3, 0)
