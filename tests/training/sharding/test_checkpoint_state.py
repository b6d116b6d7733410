"""Checkpoints of a model that is shared out are the ordinary ones, and an optimiser goes on from either."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from mmbert.training.optim import AdamWOptimizer
from mmbert.training.sharding.checkpoint_state import load_optimizer, whole_optimizer, whole_weights


class Parts(nn.Module):
    """As the optimiser wants a model: of its parts the encoder is shared out, the head is not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoders = nn.ModuleDict({"text": nn.Linear(3, 5)})
        self.fusion, self.tasks = nn.Linear(5, 5), nn.ModuleDict({"answer": nn.Linear(5, 2)})

    def forward(self, x):
        return self.tasks["answer"](self.fusion(self.encoders["text"](x)))


def shared_out(mesh):
    model = Parts()
    for part in (model.encoders["text"], model.fusion):
        fully_shard(part, mesh=mesh, reshard_after_forward=False)
    return model


def step(model, optimizer, seed):
    optimizer.zero_grad()
    model(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
    optimizer.step()


def same(one, other):
    for (name, tensor), (key, expected) in zip(one.items(), other.items(), strict=True):
        assert name == key
        torch.testing.assert_close(tensor, expected, msg=name)


@pytest.mark.parametrize("fused", [None, True])
def test_state_and_steps_are_those_of_a_whole_model(mesh, fused):
    options = AdamWOptimizer(lr=0.1, fused=fused)
    model, plain = shared_out(mesh), Parts()
    optimizer, other = options.optimizer(model), options.optimizer(plain)
    mixed = [len({isinstance(p, DTensor) for p in group["params"]}) > 1 for group in optimizer.param_groups]
    assert any(mixed) and not all(mixed)
    assert [group["fused"] for group in optimizer.param_groups] == [not both for both in mixed]
    for seed in range(3):
        step(model, optimizer, seed)
        step(plain, other, seed)
    same(whole_weights(model, True), plain.state_dict())
    state, expected = whole_optimizer(optimizer, True), other.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [g["params"] for g in expected["param_groups"]]
    for place, held in expected["state"].items():
        same(state["state"][place], held)
    assert whole_weights(model, False) == {} and whole_optimizer(optimizer, False) == {}


@pytest.mark.parametrize("begun", ["whole", "shared out"])
def test_either_goes_on_from_the_other(mesh, begun):
    options = AdamWOptimizer(lr=0.1)
    plain = Parts()
    optimizer = options.optimizer(plain)
    step(plain, optimizer, 0)
    weights, state = copy.deepcopy(plain.state_dict()), copy.deepcopy(optimizer.state_dict())
    step(plain, optimizer, 1)
    if begun == "whole":
        model = Parts()
        model.load_state_dict(weights)
        for part in (model.encoders["text"], model.fusion):
            fully_shard(part, mesh=mesh, reshard_after_forward=False)
        going_on = options.optimizer(model)
        load_optimizer(going_on, state)
        step(model, going_on, 1)
        same(whole_weights(model, True), plain.state_dict())
        assert [group["fused"] for group in going_on.param_groups].count(False) == 2
    else:
        model = shared_out(mesh)
        going_on = options.optimizer(model)
        step(model, going_on, 0)
        other = Parts()
        other.load_state_dict(whole_weights(model, True))
        last = options.optimizer(other)
        last.load_state_dict(whole_optimizer(going_on, True))
        step(other, last, 1)
        same(other.state_dict(), plain.state_dict())
