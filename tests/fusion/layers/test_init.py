"""The first draw of weights: the variance that the arithmetic promises."""

import pytest
import torch
from torch import nn

from mmbert.fusion.layers.init import TANH_MEAN_SQUARE, unit_variance


@pytest.mark.parametrize("mean_square", [1.0, 0.15, 5.0])
def test_outputs_have_a_variance_of_one(mean_square):
    torch.manual_seed(0)
    layer = unit_variance(nn.Linear(200, 300), mean_square)
    out = layer(torch.randn(200, 200) * mean_square**0.5)
    assert out.var().item() == pytest.approx(1, rel=0.05)
    assert (layer.bias == 0).all() and unit_variance(nn.Linear(2, 2, bias=False)).bias is None


def test_the_mean_square_of_tanh_is_the_integral():
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-(u**2) / 2) / (2 * torch.pi) ** 0.5
    assert torch.trapezoid(u.tanh() ** 2 * density, u).item() == pytest.approx(TANH_MEAN_SQUARE, abs=1e-6)
