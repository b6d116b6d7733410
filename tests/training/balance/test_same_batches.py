"""A second pass of a step's batches draws what the first drew, and leaves nothing behind."""

import torch
from torch import nn
from torch.testing import assert_close

from mmbert.training.balance.same_batches import SameBatches


def test_the_same_places_are_dropped_and_running_means_stay():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(6))
    inputs, kept = torch.randn(4, 6), SameBatches()
    kept.add("first")
    first = model(inputs)
    kept.add("second")
    torch.rand(3)
    state, means = torch.get_rng_state(), model[1].running_mean.clone()
    with kept.again(model):
        assert kept.batches == ["first", "second"]
        again = model(inputs)
        assert not again.requires_grad
    assert_close(again, first.detach())
    assert bool((torch.get_rng_state() == state).all()) and torch.equal(model[1].running_mean, means)
    kept.clear()
    assert kept.batches == []
