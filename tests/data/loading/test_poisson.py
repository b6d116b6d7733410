"""Poisson batches: how often samples come, alone and in pairs, and the same numbers for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from mmbert.data.loading.poisson import NOBODY, PoissonBatches, sampling_rate


def drawn(batches: PoissonBatches, epochs: int) -> np.ndarray:
    """(batches, N) bool."""
    found = []
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for batch in batches:
            row = np.zeros(batches.samples, bool)
            row[[place for _, place in batch if place != NOBODY]] = True
            found.append(row)
    return np.array(found)


def test_each_sample_comes_with_one_rate_and_by_itself() -> None:
    batches = PoissonBatches(range(40), 8, seed=1)
    seen = drawn(batches, 400)
    assert len(seen) == 400 * 5
    counts, expected, variance = seen.sum(0), len(seen) * 0.2, len(seen) * 0.2 * 0.8
    assert ((counts - expected) ** 2 / variance).sum() < chi2(40).ppf(0.999)
    sizes = seen.sum(1)  # binomial, not constant
    assert sizes.mean() == pytest.approx(8, abs=4 * (40 * 0.16 / len(seen)) ** 0.5)
    assert sizes.var() == pytest.approx(40 * 0.16, rel=0.15)


def test_an_empty_batch_holds_nobody() -> None:
    batches = [batch for _ in range(50) for batch in PoissonBatches(range(5), 1, seed=_)]
    empty = [batch for batch in batches if batch == [(0, NOBODY)]]
    assert len(empty) / len(batches) == pytest.approx(0.8**5, abs=0.1)


def test_seed_and_epoch_decide_and_skipped_batches_are_the_same() -> None:
    whole = list(PoissonBatches(range(30), 4, seed=3))
    assert whole == list(PoissonBatches(range(30), 4, seed=3))
    assert whole != list(PoissonBatches(range(30), 4, seed=4))
    rest = PoissonBatches(range(30), 4, seed=3)
    rest.skip_batches(5)
    assert list(rest) == whole[5:]
    assert {epoch for batch in rest for epoch, _ in batch} == {1}
    assert list(PoissonBatches(range(30), 4, 3, secure=True)) != list(PoissonBatches(range(30), 4, 3, secure=True))


def test_batches_larger_than_the_data_are_everything() -> None:
    assert sampling_rate(10, 32) == 1.0
    assert list(PoissonBatches(range(3), 9, seed=0)) == [[(0, 0), (0, 1), (0, 2)]]
