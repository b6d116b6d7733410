"""The signed square root and the l2 norm behind it, at zero too."""

import math

import pytest
import torch

from mmbert.fusion.layers.power_norm import LINEAR_BELOW, power_norm, signed_sqrt


def test_the_root_keeps_its_sign_and_the_row_gets_the_length_one():
    values = torch.tensor([[4.0, -9.0, 0.0, 0.25], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(signed_sqrt(values)[0], torch.tensor([2.0, -3.0, 0.0, 0.5], dtype=torch.float64))
    length = math.sqrt(4 + 9 + 0.25)
    expected = torch.tensor([2.0, -3.0, 0.0, 0.5], dtype=torch.float64) / length
    torch.testing.assert_close(power_norm(values), torch.stack([expected, torch.zeros(4, dtype=torch.float64)]))


@pytest.mark.parametrize(("value", "slope"), [(4.0, 0.25), (-4.0, 0.25), (0.0, 1e4), (1e-12, 1e4), (-1e-30, 1e4)])
def test_the_slope_is_that_of_the_root_and_has_a_bound_near_zero(value, slope):
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    signed_sqrt(x).backward()
    assert x.grad.item() == pytest.approx(slope)


def test_root_and_straight_line_meet():
    below, above = (
        signed_sqrt(torch.tensor(LINEAR_BELOW * f, dtype=torch.float64)).item() for f in (1 - 1e-9, 1 + 1e-9)
    )
    assert below == pytest.approx(above, rel=1e-8)
    assert above == pytest.approx(math.sqrt(LINEAR_BELOW))


def test_a_row_of_zeros_has_a_finite_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    (power_norm(x) * torch.randn(2, 3)).sum().backward()
    assert torch.isfinite(x.grad).all()
