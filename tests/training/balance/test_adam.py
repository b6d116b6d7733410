"""Adam on a few numbers, against torch's."""

import torch
from torch import tensor
from torch.testing import assert_close

from mmbert.training.balance.adam import TaughtNumbers


def test_steps_are_torchs():
    ours, theirs = TaughtNumbers(tensor([0.0, 1.0, -2.0]), 0.1, 0.01), torch.nn.Parameter(tensor([0.0, 1.0, -2.0]))
    optimizer = torch.optim.Adam([theirs], lr=0.1, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        gradient = torch.randn(3, generator=generator)
        ours.step(gradient, torch.ones(3, dtype=torch.bool))
        theirs.grad = gradient
        optimizer.step()
        assert_close(ours.value, theirs.data, rtol=1e-5, atol=1e-6)


def test_a_number_that_nothing_is_said_of_stays_with_its_means():
    ours, alone = TaughtNumbers(torch.zeros(2), 0.1), TaughtNumbers(torch.zeros(1), 0.1)
    for step in range(6):
        known = tensor([step % 2 == 0, True])
        ours.step(tensor([3.0, 1.0]), known)
        if step % 2 == 0:
            alone.step(tensor([3.0]), tensor([True]))
    assert ours.steps.tolist() == [3, 6]
    assert_close(ours.value[0], alone.value[0])
