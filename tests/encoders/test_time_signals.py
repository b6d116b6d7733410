"""Sines and cosines of times, by hand."""

import numpy as np
import torch

from mmbert.encoders.time_signals import LONGEST_SECONDS, SHORTEST_SECONDS, time_signals


def test_time_signals_by_hand():
    found = time_signals(torch.tensor([[0.0, 0.7]]), 5).numpy()[0]
    periods = [SHORTEST_SECONDS, (SHORTEST_SECONDS * LONGEST_SECONDS) ** 0.5, LONGEST_SECONDS]
    for time, row in zip((0.0, 0.7), found, strict=True):
        angles = [2 * np.pi * time / period for period in periods]
        expected = [np.sin(angles[0]), np.cos(angles[0]), np.sin(angles[1]), np.cos(angles[1]), np.sin(angles[2])]
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_other_periods_are_another_unit():
    times = torch.tensor([[0.0, 1.5, 40.0]])
    torch.testing.assert_close(time_signals(1000 * times, 6, 200.0, 1e6), time_signals(times, 6), atol=1e-4, rtol=0)
