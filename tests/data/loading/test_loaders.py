"""Loaders: which samples a batch holds, in which order, and options that make none."""

import os

import pytest

from mmbert.core.errors import ConfigError
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.loaders import check_loader_options, default_workers, make_loader
from mmbert.data.tables.table import Table
from mmbert.encoders.text import TextEncoder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Seven texts of 1 to 64 letters, of which row 0 is not in the split."""
    path = tmp_path_factory.mktemp("loaders") / "t.csv"
    path.write_text("\n".join(["text", *("x" * 2**n for n in range(7))]) + "\n")
    return SampleDataset(Table(path), range(1, 7), {"text": "text"}, {"text": TextEncoder("tiny").processor}, {})


def rows(loader):
    return [batch.rows.tolist() for batch in loader]


def loader(dataset, shuffle, seed=0, **options):
    return make_loader(dataset, 4, 0, False, seed, shuffle, **options)


def test_unshuffled_samples_come_in_their_order(dataset):
    assert rows(loader(dataset, False)) == [[1, 2, 3, 4], [5, 6]]


def test_shuffled_ones_in_an_order_of_the_seed_and_the_epoch(dataset):
    one = loader(dataset, True)
    epochs = [rows(one), rows(one)]
    assert [sorted(sum(epoch, [])) for epoch in epochs] == [[1, 2, 3, 4, 5, 6]] * 2
    assert epochs[0] != epochs[1]
    again = loader(dataset, True)
    assert [rows(again), rows(again)] == epochs
    assert rows(loader(dataset, True, seed=1)) != epochs[0]


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_options_that_make_no_loader(workers):
    check_loader_options(1, None, 0)
    check_loader_options(4, 8, None, 2)
    for name, arguments in {
        "batch_size": (workers, None, None),
        "eval_batch_size": (1, workers, None),
        "per_class": (1, None, None, workers),
    }.items():
        with pytest.raises(ConfigError, match=rf"data.{name}={workers}: it must be a whole number, 1 or more"):
            check_loader_options(*arguments)
    with pytest.raises(ConfigError, match="data.num_workers=-1: it must be a whole number, 0 or more"):
        check_loader_options(1, None, -1)


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (3, 2), (64, 4)])
def test_one_core_stays_free(monkeypatch, cores, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert default_workers() == workers
