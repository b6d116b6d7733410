"""Orders that depend on seed and epoch alone, shares of several processes, and filled-up evaluation shares."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupted_epochs import check_runs
from mmbert.data.loading import samplers
from mmbert.data.loading.samplers import EvaluationSampler, SeededSampler, Seen


@pytest.fixture
def among(monkeypatch):
    """``among(rank, world)``: as if this were one of several processes."""
    return lambda rank, world: monkeypatch.setattr(samplers, "rank_and_world_size", lambda: (rank, world))


def test_each_epoch_has_an_order_of_its_own_that_seed_and_epoch_decide():
    sampler = SeededSampler(range(50), seed=0)
    epochs = [list(sampler) for _ in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = SeededSampler(range(50), seed=0)
    again.set_epoch(2)
    assert list(again) == epochs[2]
    assert list(SeededSampler(range(50), seed=1)) not in epochs  # seed 0's second epoch is not seed 1's first


def test_a_pass_can_begin_later_once():
    sampler, whole = SeededSampler(range(10), seed=0), SeededSampler(range(10), seed=0)
    sampler.skip_once(Seen(4, 1))
    first, second = list(whole), list(whole)
    assert list(sampler) == first[4:] and list(sampler) == second


def test_samples_carry_their_epoch_if_asked_to():
    sampler = SeededSampler(range(4), seed=0, with_epoch=True)
    sampler.set_epoch(3)
    assert sorted(sampler) == [(3, 0), (3, 1), (3, 2), (3, 3)]


def test_processes_share_an_epoch_equally_and_leave_the_remainder_out(among):
    shares = []
    for rank in range(3):
        among(rank, 3)
        sampler = SeededSampler(range(11), seed=5)
        shares.append(list(sampler))
        assert len(shares[-1]) == len(sampler) == 3
    assert len({place for share in shares for place in share}) == 9


def test_evaluation_shares_hold_every_sample_and_are_filled_up_with_marked_ones(among):
    shares = []
    for rank in range(3):
        among(rank, 3)
        sampler = EvaluationSampler(range(7))
        shares.append(list(sampler))
        assert len(sampler) == 3
    assert shares == [[0, 3, 6], [1, 4, -1], [2, 5, -1]]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 60),
    runs=st.lists(st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(0, 6)), min_size=1, max_size=4),
)
def test_other_numbers_of_processes_go_on_with_what_no_process_has_seen(count, runs):
    check_runs(lambda: SeededSampler(range(count), 5), count, runs, 3)


@pytest.mark.parametrize("later", [1, 2, 4])
def test_batches_of_all_processes_together_are_the_same_with_other_numbers_of_them(among, later):
    """Two processes see two batches of eight, then others go on: each step has the samples that it would have had."""

    def steps(world, seen=()):
        shares = []
        for rank in range(world):
            among(rank, world)
            sampler = SeededSampler(range(64), 5)
            sampler.skip_once(*seen)
            shares.append(list(sampler))
        each = 16 // world
        return [
            {place for share in shares for place in share[start : start + each]}
            for start in range(0, len(shares[0]), each)
        ]

    assert steps(later, [Seen(16, 2)]) == steps(2)[2:]
