"""Hard negatives are drawn with the softmax's probabilities, by NumPy, and never from what may not be taken."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.contrastive.hard_negatives import hard_negatives


def test_draws_come_as_often_as_the_softmax_over_the_others_says():
    random = np.random.default_rng(0)
    similar = random.normal(size=(3, 5)) * 2
    allowed = np.array([[0, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 0]], bool)
    shares = np.where(allowed, np.exp(similar), 0)
    shares /= shares.sum(1, keepdims=True)
    torch.manual_seed(0)
    count = 4000
    many = torch.from_numpy(similar).float().repeat(count, 1), torch.from_numpy(allowed).repeat(count, 1)
    drawn, found = hard_negatives(*many, draw=True)
    assert found.all()
    for row in range(3):
        seen = np.bincount(drawn.view(count, 3)[:, row].numpy(), minlength=5) / count
        np.testing.assert_allclose(seen, shares[row], atol=4 * 0.5 / count**0.5)
        assert not seen[~allowed[row]].any()
    nearest, _ = hard_negatives(torch.from_numpy(similar).float(), torch.from_numpy(allowed), draw=False)
    np.testing.assert_array_equal(nearest.numpy(), np.where(allowed, similar, -np.inf).argmax(1))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.floats(0.01, 1e4), st.integers(0, 999), st.booleans())
def test_nothing_that_may_not_be_taken_is_taken_however_near(size, scale, seed, draw):
    generator = torch.Generator().manual_seed(seed)
    similar = scale * torch.randn(size, size, generator=generator)
    allowed = torch.rand(size, size, generator=generator) < 0.5
    similar = similar + scale * 10 * (~allowed)  # what is forbidden is nearest
    chosen, found = hard_negatives(similar, allowed, draw)
    assert torch.equal(found, allowed.any(1))
    for row in range(size):
        assert allowed[row, chosen[row]] if found[row] else chosen[row] == 0


def test_the_same_seed_draws_the_same():
    similar, allowed = torch.randn(20, 20), ~torch.eye(20, dtype=torch.bool)

    def drawn(seed):
        torch.manual_seed(seed)
        return hard_negatives(similar, allowed, True)[0].tolist()

    assert drawn(1) == drawn(1) != drawn(2)
    assert hard_negatives(similar[:1, :1], allowed[:1, :1], True)[1].tolist() == [False]
    assert pytest.approx(0) == float(hard_negatives(similar, allowed & False, True)[0].sum())
