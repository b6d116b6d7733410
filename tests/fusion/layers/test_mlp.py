"""Two linear layers: what they compute, and that they keep the variance of what they are given."""

import pytest
import torch

from mmbert.fusion.layers.mlp import two_layers


def test_a_relu_stands_between_the_two_layers():
    network = two_layers(2, 2, 1, dropout=0.0)
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        network[3].weight.copy_(torch.tensor([[2.0, 3.0]]))
    assert all((layer.bias == 0).all() for layer in (network[0], network[3]))
    out = network(torch.tensor([[1.0, -5.0], [-1.0, 4.0], [2.0, 1.0]]))
    torch.testing.assert_close(out, torch.tensor([[2.0], [12.0], [7.0]]))  # 2·1 + 3·0, 2·0 + 3·4, 2·2 + 3·1


def test_two_layers_keep_the_variance():
    torch.manual_seed(0)
    x = torch.randn(400, 100)
    assert two_layers(100, 300, 200, 0.0)(x).square().mean().item() == pytest.approx(1.0, rel=0.1)
