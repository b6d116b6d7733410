"""The same numbers as torch's own modules, with every layer called."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmbert.core.attention import encoder_layer, self_attention
from wrapped_layers import passed_by

MASK = torch.tensor([[True] * 5, [True, False, True, True, False]])


def random_inputs_of(width):
    torch.manual_seed(1)
    return torch.randn(2, 5, width, dtype=torch.float64)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_attention_is_torchs(batch_first, bias):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, dropout=0.1, bias=bias, batch_first=batch_first).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # torch begins with biases of 0
    x = random_inputs_of(8)
    given = x if batch_first else x.transpose(0, 1)
    expected, _ = module(given, given, given, key_padding_mask=~MASK, need_weights=False)
    assert_close(self_attention(module, x, MASK), expected if batch_first else expected.transpose(0, 1))


@pytest.mark.parametrize("training", [False, True])
def test_the_layer_is_torchs(training):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True).double().train(training)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = random_inputs_of(8)
    assert_close(encoder_layer(layer, x, MASK)[MASK], layer(x, src_key_padding_mask=~MASK)[MASK])


def test_dropout_acts_in_training_alone():
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.5, batch_first=True).double()
    x = random_inputs_of(8)
    assert not torch.equal(encoder_layer(layer, x, MASK), encoder_layer(layer, x, MASK))
    layer.eval()
    assert torch.equal(encoder_layer(layer, x, MASK), encoder_layer(layer, x, MASK))


def test_torch_passes_layers_by_and_these_functions_do_not():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).double().eval()
    x = random_inputs_of(8)
    assert passed_by(layer, lambda: encoder_layer(layer, x, MASK)) == []
    fresh = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).double().eval()
    assert set(passed_by(fresh, lambda: fresh(x))) == {"self_attn.out_proj", "linear1", "linear2"}
