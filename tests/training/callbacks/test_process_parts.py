"""What a checkpoint holds of each process: as it was for as many, shared out or added up for others."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.data.loading.samplers import Seen
from mmbert.training.callbacks.process_parts import (
    added,
    batch_size_now,
    part_of,
    process_parts,
    random_state,
    restore_random,
    seen_of,
)


@pytest.fixture
def parts():
    """Of two processes with batches of 8."""
    return [
        {
            "random": random_state(),
            "means": {"loss": torch.tensor([value, 4.0]), f"only{rank}": torch.tensor([1.0, 1.0])},
            "history_rows": 3,
            "batch_size": 8,
            "earlier": [],
        }
        for rank, value in enumerate((10.0, 20.0))
    ]


def test_as_many_processes_take_each_its_own(parts):
    assert [part_of(parts, rank, 2)["means"] for rank in (0, 1)] == [part["means"] for part in parts]


@pytest.mark.parametrize("world", [1, 4])
def test_sums_of_means_are_neither_lost_nor_doubled(parts, world):
    taken = [part_of(parts, rank, world) for rank in range(world)]
    total = added([part["means"] for part in taken], 1.0)
    assert {name: pair.tolist() for name, pair in total.items()} == {
        "loss": [30.0, 8.0],
        "only0": [1.0, 1.0],
        "only1": [1.0, 1.0],
    }


def test_processes_that_were_not_there_draw_numbers_of_their_own(parts):
    drawn = []
    for rank in range(4):
        restore_random(part_of(parts, rank, 4))
        drawn.append((torch.rand(1).item(), float(np.random.rand()), random.random()))
    assert drawn[0] == drawn[1]  # both parts were made at one place
    assert len(set(drawn)) == 3
    restore_random(part_of(parts, 3, 4))
    assert (torch.rand(1).item(), float(np.random.rand()), random.random()) == drawn[3]


@pytest.mark.parametrize(("world", "each"), [(1, 16), (2, 8), (4, 4), (16, 1)])
def test_a_step_stays_as_large(parts, world, each):
    assert batch_size_now(parts, 99, world) == each


def test_a_number_that_cannot_share_a_step_is_refused(parts):
    with pytest.raises(ConfigError, match=r"3 cannot share 16 samples a step.*: 1, 2, 4, 8, 16\."):
        batch_size_now(parts, 8, 3)
    old = [{key: value for key, value in part.items() if key != "batch_size"} for part in parts]
    assert batch_size_now(old, 6, 4) == 3  # of an earlier version: the configured size


def test_what_was_seen_by_whom_is_kept_until_the_epoch_ends(parts):
    kept, seen = seen_of(part_of(parts, 0, 2), 5, 2)
    assert (kept, seen) == ([], [Seen(40, 2)])
    kept, seen = seen_of(part_of(parts, 0, 4), 5, 4)
    assert (kept, seen) == ([(5, 8, 2)], [Seen(40, 2)])
    later = [{**part, "batch_size": 4, "earlier": kept} for part in (*parts, *parts)]
    assert seen_of(part_of(later, 0, 4), 7, 4) == ([(5, 8, 2)], [Seen(40, 2), Seen(8, 4)])
    assert seen_of(part_of(later, 0, 1), 7, 1) == ([(5, 8, 2), (2, 4, 4)], [Seen(40, 2), Seen(8, 4)])


@pytest.mark.parametrize("state", [None, [], [1], "x"])
def test_a_checkpoint_without_them_is_damaged(state):
    with pytest.raises(ConfigError, match="last.ckpt lacks the state of each process"):
        process_parts({"mmbert": state}, Path("last.ckpt"))
