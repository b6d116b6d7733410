"""A step by DP-SGD: clipping by hand, the noise's spread, what is divided by what, empty batches."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmbert.training.private.budget import Budget
from mmbert.training.private.module import PrivateModule, private_optimizer


def budget(sigma: float = 0.0, clip: float = 1.0, size: int = 4) -> Budget:
    return Budget(8.0, 1e-5, clip, "rdp", sigma, 0.1, 100, 40, size)


class Steps:
    """What ``make_private`` reads of the module, over one optimiser."""

    make_private = PrivateModule.make_private

    def __init__(self, parameters: list[nn.Parameter], plan: Budget, seed: int = 0, secure: bool = False) -> None:
        self._dp = private_optimizer(torch.optim.SGD(parameters, lr=1.0), plan, secure)
        self.options = type("Options", (), {"secure": secure})
        self.seed, self.global_step = seed, 0


def test_samples_are_clipped_over_all_parameters_summed_and_divided_by_the_expected_size() -> None:
    weight, bias = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    steps = Steps([weight, bias], budget(clip=1.0, size=4))
    weight.grad_sample = torch.tensor([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    bias.grad_sample = torch.tensor([[4.0], [0.4], [0.0]])
    steps.make_private()
    # norms 5, 0.5 and 0: the first becomes 1, the others stay; three samples came, four were expected
    torch.testing.assert_close(weight.grad, torch.tensor([(0.6 + 0.3) / 4, 0.0]), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(bias.grad, torch.tensor([(0.8 + 0.4) / 4]), rtol=1e-5, atol=1e-7)
    assert weight.grad_sample is None and weight.summed_grad is None


@pytest.mark.parametrize("secure", [False, True])
def test_the_noise_has_the_spread_that_was_planned_also_in_an_empty_batch(secure: bool) -> None:
    weight = nn.Parameter(torch.zeros(200_000))
    steps = Steps([weight], budget(sigma=1.7, clip=0.5, size=8), secure=secure)
    weight.grad_sample = torch.zeros((0, 200_000))
    steps.make_private()
    planned = 1.7 * 0.5 / 8
    assert float(weight.grad.std()) == pytest.approx(planned, rel=0.01)  # five standard errors are 0.8 %
    assert abs(float(weight.grad.mean())) < 5 * planned / math.sqrt(200_000)


def test_noise_depends_on_seed_and_step_alone() -> None:
    def noise(seed: int, step: int, secure: bool = False) -> torch.Tensor:
        weight = nn.Parameter(torch.zeros(50))
        steps = Steps([weight], budget(sigma=1.0), seed, secure)
        steps.global_step = step
        weight.grad_sample = torch.zeros((0, 50))
        torch.rand(int(seed) + step)
        steps.make_private()
        return weight.grad

    assert torch.equal(noise(1, 5), noise(1, 5))
    assert not torch.equal(noise(1, 5), noise(1, 6))
    assert not torch.equal(noise(1, 5), noise(2, 5))
    assert not torch.equal(noise(1, 5, secure=True), noise(1, 5, secure=True))
