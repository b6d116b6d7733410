"""Percentiles and ratios of calls whose lengths are known: the clock is the test's own."""

from types import SimpleNamespace

import numpy as np
import pytest

from mmbert.deploy.compress import latency
from mmbert.deploy.compress.latency import WARM_UP, measure_latency

BATCHES = 20


class Clock:
    """A clock that only calls of variants move."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def variant(self, name, seconds):
        """A variant whose calls take these times, one after the other; those that warm up take a hundred more."""
        left, seen = iter(seconds), []

        def run(inputs, targets):
            warm = len(seen) % (WARM_UP + BATCHES) < WARM_UP
            seen.append(inputs)
            self.now += 100.0 if warm else next(left)

        return SimpleNamespace(name=name, run=run, seen=seen)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    return made


def test_percentiles_are_those_of_all_calls_but_the_ones_that_warm_up(clock):
    taken = np.random.default_rng(0).gamma(2, 0.01, (2, 3 * BATCHES))
    slow, fast = (clock.variant(name, each) for name, each in zip(("slow", "fast"), taken, strict=True))
    batches = {name: list(range(BATCHES)) for name in ("slow", "fast")}
    found = measure_latency([slow, fast], batches, 3)
    for name, each in zip(("slow", "fast"), 1000 * taken, strict=True):
        ordered = np.sort(each)
        assert found[name]["calls"] == 60
        assert found[name]["p50_ms"] == pytest.approx((ordered[29] + ordered[30]) / 2)
        assert found[name]["p95_ms"] == pytest.approx(ordered[56] + 0.05 * (ordered[57] - ordered[56]))  # 0.95 · 59
        assert found[name]["p50_ms"] < 0.6 * found[name]["p95_ms"]
    rounds = np.median(taken.reshape(2, 3, BATCHES), axis=2)
    assert found["fast"]["speedup"] == pytest.approx(np.median(rounds[0] / rounds[1]))
    assert found["slow"]["speedup"] == 1


def test_what_slows_the_machine_for_a_round_changes_no_ratio(clock):
    steady = np.repeat([1.0, 5.0, 1.0], BATCHES)
    pair = [clock.variant("original", 0.02 * steady), clock.variant("other", 0.01 * steady)]
    found = measure_latency(pair, {"original": [0] * BATCHES, "other": [0] * BATCHES}, 3)
    assert found["other"]["speedup"] == pytest.approx(2)


def test_variants_take_turns_and_who_is_first_changes(clock):
    order = []
    names = ("a", "b", "c")

    def named(name):
        def run(inputs, targets):
            order.append(name)
            clock.now += 1

        return SimpleNamespace(name=name, run=run)

    measure_latency([named(name) for name in names], {name: [0] for name in names}, 3)
    turns = [order[place] for place in range(0, len(order), WARM_UP + 1)]
    assert turns == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
