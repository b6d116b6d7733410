"""The shared transformer layers against NumPy on the real tokens, masked and in part."""

import pytest
import torch
from torch import nn

from fusion_harness import TransformerReference, assert_close, gelu, relu
from mmbert.core.errors import ConfigError
from mmbert.core.types import Encoded
from mmbert.fusion.layers.transformer import (
    CrossLayer,
    SelfAttentionLayer,
    SquaredReLU,
    TokenEmbedding,
    check_at_least,
    check_heads,
    with_first,
)

WIDTH = 6
MASK = torch.tensor([[True, True, False, True], [False, True, False, False]])


class Holder(nn.Module):
    """Gives a layer the name under which the reference looks for its weights."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)


def held(kind, **options):
    torch.manual_seed(0)
    holder = Holder(kind(WIDTH, 2, 2, 0.0, 0.0, **options)).double().eval()
    return holder.layer, TransformerReference(holder, heads=2)


def sequences(length, seed=0):
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(("activation", "by_hand"), [(nn.GELU, gelu), (SquaredReLU, lambda x: relu(x) ** 2)])
def test_self_attention_is_over_the_real_tokens(activation, by_hand, need_weights):
    layer, reference = held(SelfAttentionLayer, activation=activation)
    x = sequences(4)
    out, weights = layer(x, MASK, need_weights=need_weights)
    for b in range(2):
        assert_close(out[b][MASK[b]], reference.layer(x[b][MASK[b]].numpy(), "layer", by_hand))
    assert (weights is not None) == need_weights
    if need_weights:
        assert weights.shape == (2, 2, 4, 4)
        assert (weights.masked_select(~MASK[:, None, None]) == 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4, dtype=torch.float64))


def test_a_part_of_the_tokens_asks_all_of_them_and_gets_what_it_would_get_among_them():
    layer, _ = held(SelfAttentionLayer)
    x = sequences(4)
    whole, weights = layer(x, MASK, need_weights=True)
    part, part_weights = layer(x, MASK, x[:, :2], need_weights=True)
    torch.testing.assert_close(part, whole[:, :2])
    torch.testing.assert_close(part_weights, weights[:, :, :2])
    torch.testing.assert_close(layer.weights_of(x, MASK, x[:, :2]), weights[:, :, :2].mean((1, 2)))


def test_a_cross_layer_looks_at_the_real_tokens_of_the_other_and_goes_on_without_any():
    layer, reference = held(CrossLayer)
    x, y = sequences(3), sequences(4, seed=1)
    mask = torch.tensor([[True, False, True, True], [False] * 4])
    out, _ = layer(x, y, mask)
    for b in range(2):
        assert_close(out[b], reference.cross_layer(x[b].numpy(), y[b][mask[b]].numpy(), "layer", gelu))


def test_tokens_are_projected_with_an_embedding_of_their_modality_and_their_vector_before_them():
    torch.manual_seed(0)
    embed = TokenEmbedding({"a": 3}, 4, normalize=False, dropout=0.0)
    x = Encoded.from_tokens(torch.randn(2, 2, 3), torch.tensor([[True, True], [False, False]]))
    linear, embedding = embed.project["a"].linear, embed.modality["a"]
    out = embed({"a": x}, pooled_first=True)["a"]
    assert out.shape == (2, 3, 4)
    torch.testing.assert_close(out[0], linear(torch.cat([x.pooled[:1], x.tokens[0]])) + embedding)
    torch.testing.assert_close(out[1], embedding.expand(3, 4))  # absent: blank before the embedding
    torch.testing.assert_close(embed({"a": x})["a"], out[:, 1:])


def test_a_place_before_the_others_is_real_everywhere_or_where_it_is_told():
    assert with_first(MASK)[:, 0].tolist() == [True, True] and torch.equal(with_first(MASK)[:, 1:], MASK)
    assert with_first(MASK, torch.tensor([False, True]))[:, 0].tolist() == [False, True]


def test_numbers_that_do_not_fit_are_refused():
    check_heads(8, 4)
    check_at_least(1, 1, "num_layers")
    for heads in (0, 3):
        with pytest.raises(ConfigError, match=f"fusion.num_heads={heads} must divide fusion.width=8"):
            check_heads(8, heads, "fusion.width")
    with pytest.raises(ConfigError, match="fusion.num_layers=0 must be at least 1"):
        check_at_least(0, 1, "num_layers")
