"""Batches of like length: every sample once, less padding, the same on every machine, resumable, shared fairly."""

import csv

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupted_epochs import places_of
from mmbert.data.loading import length_buckets
from mmbert.data.loading import samplers as loading
from mmbert.data.loading.length_buckets import BucketedOrder, sample_lengths
from mmbert.data.loading.samplers import Seen
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.table import Table


def ranks(monkeypatch, count, size, batch, seed=3, epoch=0):
    """Each process's order of one epoch."""
    lengths = np.random.default_rng(seed).lognormal(0, 1, count)
    orders = []
    for rank in range(size):
        for module in (loading, length_buckets):
            monkeypatch.setattr(module, "rank_and_world_size", lambda rank=rank: (rank, size))
        order = BucketedOrder(range(count), seed, lengths, batch)
        order.set_epoch(epoch)
        orders.append(list(order))
    return lengths, orders


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 9), st.integers(0, 5))
def test_every_sample_comes_once_and_shares_are_equal(count, size, batch, epoch):
    with pytest.MonkeyPatch.context() as patch:
        _, orders = ranks(patch, count, size, batch, epoch=epoch)
    together = [place for order in orders for place in order]
    assert len(set(together)) == len(together) == count // size * size
    assert len({len(order) for order in orders}) == 1


def waste(lengths, order, batch):
    parts = [lengths[order[start : start + batch]] for start in range(0, len(order), batch)]
    return 1 - lengths[order].sum() / sum(part.max() * len(part) for part in parts)


def test_little_is_padding_and_processes_batches_are_of_one_length(monkeypatch):
    lengths, orders = ranks(monkeypatch, 4000, 2, 16)
    assert waste(lengths, orders[0], 16) < 0.25
    assert waste(lengths, np.random.default_rng(0).permutation(4000), 16) > 0.5
    for start in range(0, 1900, 16):
        one, other = (lengths[order[start : start + 16]] for order in orders)
        assert abs(np.median(one) - np.median(other)) <= 0.2 * np.median(lengths) + 0.2 * np.median(one)


def test_the_order_is_another_in_each_epoch_and_each_seed_and_the_same_again(monkeypatch):
    first = ranks(monkeypatch, 500, 1, 8)[1][0]
    assert ranks(monkeypatch, 500, 1, 8)[1][0] == first
    assert ranks(monkeypatch, 500, 1, 8, epoch=1)[1][0] != first
    assert ranks(monkeypatch, 500, 1, 8, seed=4)[1][0] != first
    lengths = ranks(monkeypatch, 500, 1, 8)[0]
    sizes = [lengths[first[start : start + 8]].mean() for start in range(0, 496, 8)]
    assert abs(np.corrcoef(sizes, np.arange(len(sizes)))[0, 1]) < 0.4  # short ones do not come first


def test_samples_meet_others_in_every_epoch(monkeypatch):
    met = set()
    for epoch in range(4):
        order = ranks(monkeypatch, 800, 1, 8, epoch=epoch)[1][0]
        place = order.index(17)
        met |= set(order[place // 8 * 8 : place // 8 * 8 + 8]) - {17}
    assert len(met) > 12


def test_an_interrupted_epoch_goes_on_where_it_was():
    lengths = np.arange(100.0)
    whole = list(BucketedOrder(range(100), 0, lengths, 8))
    rest = BucketedOrder(range(100), 0, lengths, 8)
    rest.set_epoch(0)
    rest.skip_once(Seen(24, 1))
    assert list(rest) == whole[24:]


def test_lengths_of_texts_and_sounds_together(tmp_path):
    for seconds in (1, 3):
        soundfile.write(tmp_path / f"{seconds}.wav", np.zeros(seconds * 8000), 8000)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    rows = [["ab", "1.wav", "x.png"], ["abcdef", "3.wav", "x.png"], ["", "broken.wav", "x.png"], ["abcd", "", "x.png"]]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "audio", "image"], *rows])
    columns = {name: name for name in ("text", "audio", "image")}
    inputs = {name: modality_named(name) for name in columns}
    found = sample_lengths(Table(tmp_path / "t.csv"), [0, 1, 2, 3], columns, inputs, {"audio": 2.0})
    texts, sounds = np.array([2, 6, 0, 4]) / 3, np.array([1, 2, 0, 0]) / 0.75  # 3 s are cut to 2
    np.testing.assert_allclose(found, texts + sounds)


@pytest.mark.slow
def test_a_run_trains_with_buckets_and_says_what_was_padding(compose_tiny, tmp_path):
    from mmbert.runs.history import read_history
    from mmbert.training.run import run

    said = {}
    for name in ("true", "false"):
        (tmp_path / name).mkdir()
        words = [f"data.bucket_by_length={name}", "data.batch_size=4", "trainer.max_epochs=1", "plots=false"]
        run(compose_tiny(*words), tmp_path / name)
        said[name] = read_history(tmp_path / name / "history.csv")
    for encoder in ("text", "audio"):
        (_, bucketed), (_, shuffled) = (said[name][f"train/padding/{encoder}"][0] for name in ("true", "false"))
        assert 0 <= bucketed < 1
        assert 0 <= shuffled < 1
    total = {name: sum(said[name][f"train/padding/{e}"][0][1] for e in ("text", "audio")) for name in said}
    assert total["true"] < total["false"]


@pytest.mark.parametrize("later", [1, 2, 4])
def test_other_numbers_of_processes_go_on_where_it_was(later):
    """Two processes of eight samples a batch, then others of as many together."""
    lengths = np.arange(100.0)

    def make(world):
        return lambda: BucketedOrder(range(100), 0, lengths, 16 // world)

    def steps(world, seen=()):
        shares = [places_of(make(world), rank, world, seen) for rank in range(world)]
        each = 16 // world
        starts = range(0, len(shares[0]), each)
        return [{place for share in shares for place in share[start : start + each]} for start in starts]

    assert steps(later, [Seen(16, 2)]) == steps(2)[2:]
