"""A zero in the loss gives every weight of a part a gradient, and changes no number."""

import math
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils._pytree import register_dataclass

from mmbert.core.types import Encoded
from mmbert.training.sharding.groups import TRAVELLING
from mmbert.training.sharding.whole_graph import PartUse, ZeroOf


class Vectors(nn.Module):
    """A part with a second layer, which is used where ``rich``."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, x, rich):
        tokens = self.first(x)
        tokens = self.second(tokens) if rich else tokens
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), tokens.mean(1))


def used(part, *, loss_of_it, scale=1.0):
    use = PartUse()
    use.before(part)
    use.after(part)
    output = part(scale * torch.ones(2, 5, 3), False)
    loss = output.pooled.sum() if loss_of_it else torch.zeros(())
    total = loss + use.zero(torch.device("cpu"))
    total.backward()
    use.remove()
    return output, loss, total


def test_a_part_that_no_loss_reads_has_gradients_of_zeros():
    part = Vectors()
    _, _, total = used(part, loss_of_it=False)
    assert float(total.detach()) == 0
    assert all(p.grad is not None and p.grad.shape == p.shape and not p.grad.any() for p in part.parameters())


def test_gradients_and_loss_of_a_part_that_is_read_are_those_without():
    torch.manual_seed(0)
    part, plain = Vectors(), Vectors()
    plain.load_state_dict(part.state_dict())
    output, loss, total = used(part, loss_of_it=True)
    expected = plain(torch.ones(2, 5, 3), False)
    expected.pooled.sum().backward()
    assert torch.equal(output.pooled, expected.pooled) and torch.equal(loss, total)
    assert torch.equal(part.first.weight.grad, plain.first.weight.grad)
    assert plain.second.weight.grad is None and not part.second.weight.grad.any()


def test_infinite_vectors_add_no_nan():
    part = Vectors()
    _, _, total = used(part, loss_of_it=False, scale=math.inf)
    assert float(total.detach()) == 0


def test_nothing_is_left_when_it_is_removed_and_nothing_is_noted_in_evaluation():
    part, use = Vectors().eval(), PartUse()
    use.before(part)
    use.after(part)
    part(torch.ones(1, 2, 3), False)
    assert not use.zero(torch.device("cpu")).requires_grad
    use.remove()
    assert not part._forward_hooks


def test_gradients_of_zeros_take_no_room():
    weight = torch.ones(1000, 1000, requires_grad=True)
    (gradient,) = torch.autograd.grad(ZeroOf.apply(weight), weight)
    assert gradient.shape == weight.shape and gradient.untyped_storage().nbytes() <= 4


def half(rank, folder, world=2):
    """The first process reads the second layer, the second one has nothing to learn from."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=20),
    )
    torch.manual_seed(0)
    for kind in TRAVELLING:
        register_dataclass(kind)
    part, use = Vectors(), PartUse()
    use.before(part)
    fully_shard(part, mesh=init_device_mesh("cpu", (world,)))
    use.after(part)
    for _ in range(2):  # the second step meets what the first has left
        part.zero_grad()
        output = part(torch.ones(2, 5, 3), rank == 0)
        loss = output.pooled.sum() if rank == 0 else torch.zeros(())
        (loss + use.zero(torch.device("cpu"))).backward()
    torch.save({name: p.grad.full_tensor() for name, p in part.named_parameters()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_process_that_uses_a_part_otherwise_takes_part_with_zeros(tmp_path):
    mp.spawn(half, args=(str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    alone = Vectors()
    alone(torch.ones(2, 5, 3), True).pooled.sum().backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad / 2, msg=name)
