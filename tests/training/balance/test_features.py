"""What heads read is cut off from what made it, and a given gradient goes on from there."""

import torch
from torch import tensor
from torch.testing import assert_close

from mmbert.core.types import Encoded, Fused, State
from mmbert.training.balance.features import SharedFeatures, gramian_of


def features():
    source = tensor([[1.0, 2.0]], requires_grad=True)
    fused = Fused(source * 3, {"text": source.unsqueeze(1)}, {"text": torch.ones(1, 1, dtype=torch.bool)})
    frozen = Encoded(torch.ones(1, 1, 2), torch.ones(1, 1, dtype=torch.bool), torch.ones(1, 2))
    return source, SharedFeatures(State(fused, {"text": frozen}))


def test_heads_read_leaves_of_the_same_values():
    source, shared = features()
    assert_close(shared.state.fused.pooled, tensor([[3.0, 6.0]]))
    assert shared.state.fused.pooled.is_leaf and shared.state.fused.tokens["text"].is_leaf
    assert len(shared.copies) == 2 and not shared.state.encoded["text"].tokens.requires_grad  # nothing learns there
    shared.state.fused.pooled.sum().backward()
    assert source.grad is None


def test_the_jacobian_by_hand_and_what_is_carried_on():
    source, shared = features()
    vector, tokens = shared.state.fused.pooled, shared.state.fused.tokens["text"]
    losses = [vector.square().sum(), tokens.sum() * 5, tensor(1.0)]  # ∂/∂vector = 2·vector, ∂/∂tokens = 5, nothing
    rows = shared.jacobian(losses, loss_scale=8.0)
    assert_close(rows[0], [tensor([[6.0, 12.0]]), torch.zeros(1, 1, 2)])
    assert_close(rows[1], [torch.zeros(1, 2), torch.full((1, 1, 2), 5.0)])
    assert_close(gramian_of(rows), torch.diag(tensor([180.0, 50.0, 0.0])).double())
    zero = shared.carry(rows, [2.0, 1.0, 7.0])
    assert zero == 0
    (zero * 10).backward()
    # vector = 3 · source: 10 · 2 · 3 · (6, 12); tokens = source: 10 · 5
    assert_close(source.grad, tensor([[360.0 + 50.0, 720.0 + 50.0]]))


def test_weights_of_zero_carry_zeros():
    source, shared = features()
    shared.carry(shared.jacobian([shared.state.fused.pooled.sum()]), [0.0]).backward()
    assert_close(source.grad, torch.zeros(1, 2))
