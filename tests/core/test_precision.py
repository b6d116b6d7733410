"""The most exact format that a device knows."""

import pytest
import torch

from mmbert.core.precision import exact_dtype


@pytest.mark.parametrize(
    ("device", "dtype"),
    [(None, torch.float64), ("cpu", torch.float64), (torch.device("cuda", 1), torch.float64), ("mps", torch.float32)],
)
def test_only_apple_gpus_know_no_float64(device, dtype):
    assert exact_dtype(device) is dtype
