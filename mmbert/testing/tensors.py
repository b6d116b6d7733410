"""Named tensors compared, reduced to a scalar, and refused if they are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mmbert.core.types import Fused
from mmbert.testing.report import ContractViolation

#: How far two computations of the same numbers may differ, absolute and relative, in float32.
TOLERANCE = 1e-5
#: Largest mean error of bfloat16, as a share of the largest number. Processors that have its instructions round sums of
#: products to it, others keep them in float32: waveforms through a dozen layers were seen to lose 0.06 on the first.
BFLOAT16_TOLERANCE = 0.08
#: Numbers that are written where nothing is real.
JUNK = (1e6, math.nan, math.inf, -math.inf)


def difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor], tolerance: float = 0.0) -> str:
    """Where two sets of tensors differ: ``pooled[2, 0] is 0.3, was 0.1``; empty if they agree.

    Args:
        first: the expected values.
        second: the values to compare with them.
        tolerance: absolute and relative; 0 = every bit counts. NaN agrees with nothing.
    """
    for name, old in first.items():
        new = second.get(name)
        if new is None or new.shape != old.shape:
            return f"{name} has the shape {None if new is None else tuple(new.shape)}, was {tuple(old.shape)}"
        close = old == new if tolerance == 0 else torch.isclose(new.float(), old.float(), tolerance, tolerance)
        if not bool(close.all()):
            place = tuple(int(i) for i in (~close).nonzero()[0])
            return f"{name}{list(place) if place else ''} is {new[place].item():.6g}, was {old[place].item():.6g}"
    return ""


def weighted_sum(tensors: Mapping[str, Tensor]) -> Tensor:
    """A scalar to which every number contributes with a random weight of its own, the same at every call."""
    total = torch.zeros(())
    for tensor in tensors.values():
        weights = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        total = total + (tensor.float() * weights).sum()
    return total


def check_finite(named: Mapping[str, Tensor], cause: str) -> None:
    """Refuses NaN and infinity."""
    for name, tensor in named.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ContractViolation(f"{name} is not finite: {tensor[~torch.isfinite(tensor)][0].item()}", cause)


def fused_tensors(fused: Fused) -> dict[str, Tensor]:
    """Every tensor of a fusion's output by a name for messages; diagnostics are in ``diagnostic_tensors``."""
    named = {"pooled": fused.pooled}
    named |= {f"tokens[{name!r}]": tokens for name, tokens in fused.tokens.items()}
    named |= {f"views[{name!r}]": view for name, view in fused.views.items()}
    named |= {f"auxiliary_losses[{name!r}]": loss for name, loss in fused.auxiliary_losses.items()}
    return named


def diagnostic_tensors(fused: Fused) -> dict[str, Tensor]:
    """Gates and attention weights, by a name for messages."""
    return {f"diagnostics[{name!r}]": tensor for name, tensor in fused.diagnostics.items()}
