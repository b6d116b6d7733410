"""Attention, feed-forward and norms against torch's own layer; padding has no part in it."""

import pytest
import torch
from torch import nn

from mmbert.encoders.transformer_block import TransformerBlock


def test_it_is_torchs_pre_norm_layer():
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 0.0).eval()
    layer = nn.TransformerEncoderLayer(8, 2, 32, 0.0, nn.functional.gelu, batch_first=True, norm_first=True).train()
    pairs = {
        "self_attn.in_proj_weight": block.query_key_value.weight,
        "self_attn.in_proj_bias": block.query_key_value.bias,
        "self_attn.out_proj.weight": block.out.weight,
        "self_attn.out_proj.bias": block.out.bias,
        "linear1.weight": block.feed_forward[0].weight,
        "linear1.bias": block.feed_forward[0].bias,
        "linear2.weight": block.feed_forward[3].weight,
        "linear2.bias": block.feed_forward[3].bias,
        "norm1.weight": block.norm_attention.weight,
        "norm1.bias": block.norm_attention.bias,
        "norm2.weight": block.norm_feed_forward.weight,
        "norm2.bias": block.norm_feed_forward.bias,
    }
    layer.load_state_dict(pairs)
    x, mask = torch.randn(2, 5, 8), torch.tensor([[True] * 5, [True, True, True, False, False]])
    found, expected = block(x, mask), layer(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(found[mask], expected[mask])
    changed = x.masked_fill(~mask.unsqueeze(-1), 1e4)
    torch.testing.assert_close(block(changed, mask)[mask], found[mask], rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_for_training(training):
    block, x, mask = TransformerBlock(8, 2, 0.5).train(training), torch.randn(1, 4, 8), torch.ones(1, 4, dtype=bool)
    assert torch.equal(block(x, mask), block(x, mask)) is not training
