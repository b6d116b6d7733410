"""Gradients of which processes hold parts are clipped by the norm of all of them."""

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from mmbert.training.sharding.gradients import average_gradients, clip_gradients, global_norm


def model_with_gradients(mesh=None):
    torch.manual_seed(1)
    first, second = nn.Linear(3, 5), nn.Linear(5, 2)
    if mesh is not None:
        fully_shard(first, mesh=mesh)
    second(first(torch.randn(4, 3))).square().sum().backward()
    unused = nn.Linear(2, 2)  # has no gradient
    return [*first.parameters(), *second.parameters(), *unused.parameters()]


def gradients(parameters):
    return [getattr(p.grad, "full_tensor", lambda p=p: p.grad)() for p in parameters if p.grad is not None]


def test_the_norm_is_that_of_all_gradients_together(mesh):
    shared_out, whole = model_with_gradients(mesh), model_with_gradients()
    expected = torch.cat([gradient.flatten() for gradient in gradients(whole)]).norm()
    torch.testing.assert_close(global_norm(shared_out), expected)
    assert float(global_norm([])) == 0


@pytest.mark.parametrize("limit", [0.5, 1e6])
@pytest.mark.parametrize("by", ["norm", "value"])
def test_clipping_is_torchs(mesh, limit, by):
    shared_out, whole = model_with_gradients(mesh), model_with_gradients()
    clip_gradients(shared_out, limit, by)
    if by == "norm":
        nn.utils.clip_grad_norm_(whole, limit)
    else:
        nn.utils.clip_grad_value_(whole, limit)
    for own, other in zip(gradients(shared_out), gradients(whole), strict=True):
        torch.testing.assert_close(own, other)


def test_a_mean_over_processes(mesh, monkeypatch):
    """As if a second process had twice the gradients, and one where this one has none; nobody has the last."""
    import torch.distributed as dist

    mine = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1))]
    mine[0].grad = torch.full((2, 2), 3.0)
    others = iter([torch.tensor([1, 1, 0], dtype=torch.int32), torch.tensor([6.0, 6, 6, 6, 5, 5, 5, 0]) / 2])
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.add_(next(others)))
    average_gradients(mine)
    assert mine[0].grad.tolist() == [[4.5, 4.5], [4.5, 4.5]]
    assert mine[1].grad.tolist() == [2.5, 2.5, 2.5] and mine[2].grad is None
