"""How large a module is."""

from __future__ import annotations

from torch import nn


def count_trainable(module: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def count_parameters(module: nn.Module) -> int:
    """How many numbers the module holds as parameters."""
    return sum(p.numel() for p in module.parameters())
