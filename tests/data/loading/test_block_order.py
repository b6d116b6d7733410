"""Orders by blocks: under 1, 2 and 4 processes every sample once, equal steps, the same order from seed and epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupted_epochs import check_runs
from mmbert.data.loading import block_order, samplers
from mmbert.data.loading.block_order import BlockEvaluation, BlockOrder
from mmbert.data.loading.samplers import Seen

#: Shards of very unequal sizes: 31 samples.
BLOCKS = np.repeat([0, 1, 2, 3, 4], [1, 13, 2, 7, 8])


@pytest.fixture
def among(monkeypatch):
    """``among(rank, world)``: as if this were one of several processes."""

    def become(rank, world):
        for module in (samplers, block_order):
            monkeypatch.setattr(module, "rank_and_world_size", lambda: (rank, world))

    return become


def shares(among, world, make):
    found = []
    for rank in range(world):
        among(rank, world)
        sampler = make()
        found.append(list(sampler))
        assert len(sampler) == len(found[-1])
    return found


@pytest.mark.parametrize("world", [1, 2, 4, 8, 40])
@pytest.mark.parametrize("buffer", [1, 5, 1000])
def test_no_sample_is_lost_or_comes_twice_and_all_processes_step_as_often(among, world, buffer):
    for epoch in range(3):

        def make(epoch=epoch):
            sampler = BlockOrder(range(31), 3, BLOCKS, buffer)
            sampler.set_epoch(epoch)
            return sampler

        found = shares(among, world, make)
        places = [place for share in found for place in share]
        assert sorted(place for place in places if place >= 0) == list(range(31))
        assert len({len(share) for share in found}) == 1
        assert sum(place < 0 for place in places) == -(-31 // world) * world - 31
        assert all(0 <= -1 - place < 31 for place in places if place < 0)


@pytest.mark.parametrize("world", [1, 2, 4, 40])
def test_evaluation_goes_through_in_order(among, world):
    found = shares(among, world, lambda: BlockEvaluation(range(31), BLOCKS, 5))
    assert [place for share in found for place in share if place >= 0] == list(range(31))
    assert len({len(share) for share in found}) == 1


def test_each_epoch_has_an_order_of_its_own_that_seed_and_epoch_decide():
    sampler = BlockOrder(range(31), 0, BLOCKS, 8)
    epochs = [list(sampler) for _ in range(4)]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    again = BlockOrder(range(31), 0, BLOCKS, 8)
    again.set_epoch(2)
    assert list(again) == epochs[2]
    assert list(BlockOrder(range(31), 1, BLOCKS, 8)) not in epochs


def test_a_pass_can_begin_in_the_middle():
    sampler, whole = BlockOrder(range(31), 0, BLOCKS, 8), BlockOrder(range(31), 0, BLOCKS, 8)
    sampler.skip_once(Seen(11, 1))
    assert list(sampler) == list(whole)[11:]
    assert list(sampler) == list(whole)


def test_within_a_window_only_few_blocks_are_needed():
    order = list(BlockOrder(range(1000), 0, np.arange(1000) // 50, 100))
    assert all(len({place // 50 for place in order[start : start + 100]}) == 2 for start in range(0, 1000, 100))
    assert order != sorted(order)


def test_blocks_are_announced_before_they_are_needed_and_each_once_in_a_row():
    blocks, told = np.arange(120) // 10, []
    sampler = BlockOrder(range(120), 0, blocks, 20, told.append, with_epoch=True)
    for number, (_, place) in enumerate(sampler):
        assert blocks[place] in {block for each in told for block in each}
        assert len(told) == min(number // 20 + 1, 5)
    assert sorted(block for each in told for block in each) == list(range(12))
    evaluated = []
    list(BlockEvaluation(range(120), blocks, 20, evaluated.append))
    assert [block for each in evaluated for block in each] == list(range(12))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    buffer=st.integers(1, 20),
    runs=st.lists(st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(0, 6)), min_size=1, max_size=4),
)
def test_other_numbers_of_processes_go_on_with_what_no_process_has_seen(sizes, buffer, runs):
    blocks = np.repeat(range(len(sizes)), sizes)
    check_runs(lambda: BlockOrder(range(len(blocks)), 5, blocks, buffer), len(blocks), runs, 0)
