"""The most exact number format of a device."""

from __future__ import annotations

import torch


def exact_dtype(device: torch.device | str | None) -> torch.dtype:
    """float64; float32 on Apple GPUs, which know no float64. None = the CPU."""
    return torch.float32 if device is not None and torch.device(device).type == "mps" else torch.float64
