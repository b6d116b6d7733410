"""Weighted means over an epoch, by hand, and over two processes."""

import torch
import torch.distributed as dist

from mmbert.training.epoch_means import EpochMeans


def test_each_sample_counts_once_and_what_has_no_weight_is_left_out():
    means = EpochMeans()
    means.add("loss", torch.tensor(1.0), 3)
    means.add("loss", torch.tensor(5.0), 1)
    means.add("loss", torch.tensor(float("nan")), 0)
    means.add("nobody", torch.tensor(float("nan")), 0)
    assert means.compute() == {"loss": torch.tensor(2.0)}  # (3 · 1 + 1 · 5) / 4
    assert means.compute() == {}


def test_sums_are_saved_and_taken_up_again():
    first, second = EpochMeans(), EpochMeans()
    first.add("loss", torch.tensor(1.0), 3)
    second.load_state_dict(first.state_dict())
    second.add("loss", torch.tensor(5.0), 1)
    assert second.compute() == {"loss": torch.tensor(2.0)}


def test_processes_add_their_sums(monkeypatch):
    """The other process has a mean of 4 over 2 samples."""
    for name, value in {"is_initialized": True, "get_world_size": 2}.items():
        monkeypatch.setattr(dist, name, lambda value=value: value)
    monkeypatch.setattr(dist, "all_reduce", lambda totals: totals.add_(torch.tensor([[8.0, 2.0]])))
    means = EpochMeans()
    means.add("loss", torch.tensor(1.0), 1)
    assert means.compute() == {"loss": torch.tensor(3.0)}  # (1 + 8) / 3
