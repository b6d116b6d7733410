"""Attention between two sequences: weights by hand, masked keys, and the kernel against the need_weights product."""

import math

import numpy as np
import pytest
import torch

from fusion_harness import attention
from mmbert.fusion.layers.cross_attention import CrossAttention, CrossAttentionLayer


def layer(dim=4, heads=2):
    torch.manual_seed(0)
    return CrossAttention(dim, heads, 0.0).double()


def test_one_query_over_two_keys_by_hand():
    """Identity maps, one head: scores q·k / √1 are 0 and ln 3, so the weights are 1/4 and 3/4."""
    attend = CrossAttention(1, 1, 0.0)
    with torch.no_grad():
        for linear in (attend.query, attend.key_value, attend.out):
            linear.weight.fill_(1.0)
            linear.bias.zero_()
    keys = torch.tensor([[[0.0], [math.log(3)]]])
    mixed, weights = attend(torch.ones(1, 1, 1), keys, torch.ones(1, 2, dtype=torch.bool), need_weights=True)
    torch.testing.assert_close(weights, torch.tensor([[[[0.25, 0.75]]]]))
    torch.testing.assert_close(mixed, torch.tensor([[[0.75 * math.log(3)]]]))  # the values are the keys


@pytest.mark.parametrize("need_weights", [False, True])
def test_it_is_numpys_over_the_real_keys_and_zeros_without_any(need_weights):
    attend = layer()
    x, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])
    out, weights = attend(x, y, mask, need_weights)
    w = {name: tensor.detach().numpy() for name, tensor in attend.state_dict().items()}
    real = y[0][mask[0]].numpy()
    k, v = np.split(real @ w["key_value.weight"].T + w["key_value.bias"], 2, axis=-1)
    mixed = attention(x[0].numpy() @ w["query.weight"].T + w["query.bias"], k, v, heads=2)
    np.testing.assert_allclose(out[0].detach(), mixed @ w["out.weight"].T + w["out.bias"], atol=1e-12)
    assert (out[1] == 0).all()
    if need_weights:
        assert weights.shape == (2, 2, 3, 5) and (weights[:, :, :, ~mask[0]] == 0).all() and (weights[1] == 0).all()
    else:
        assert weights is None


def test_the_summarys_weights_are_the_mean_over_heads_of_the_first_querys():
    attend = layer()
    x, y = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, True, False], [True, False, True, False, True]])
    weights = attend(x, y, mask, need_weights=True)[1]
    torch.testing.assert_close(attend.summary_weights(x, y, mask), weights[:, :, 0].mean(1))


def test_a_layer_with_nothing_to_attend_to_is_its_feed_forward_block_alone():
    torch.manual_seed(0)
    block = CrossAttentionLayer(4, 2, 0.0, 0.0, attends=False)
    x = torch.randn(2, 3, 4)
    out, weights = block(x, x, torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.bool), need_weights=True)
    torch.testing.assert_close(out, x + block.feed_forward(x))
    assert weights is None and block.attention is None
