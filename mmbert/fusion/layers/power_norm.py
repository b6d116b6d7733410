"""Power and l2 normalisation, which bilinear features pass: the signed square root, then a length of one.

    y = sign(z) sqrt(|z|),   y / |y|

Perronnin et al. 2010, "Improving the Fisher Kernel for Large-Scale Image Classification"; for bilinear features Lin
et al. 2015, arXiv:1504.07889. Differs from them below |z| = 1e-8, where the root, whose slope has no bound, goes on
as a straight line through 0: a gradient is 1e4 at most, and finite at 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LINEAR_BELOW = 1e-8


def signed_sqrt(values: Tensor) -> Tensor:
    """sign(z) sqrt(|z|) of every element, of any shape."""
    # z / sqrt(|z|), not sign(z) · sqrt(|z|), whose gradient at 0 is 0 · ∞
    return values * torch.rsqrt(values.abs().clamp(min=LINEAR_BELOW))


def power_norm(values: Tensor) -> Tensor:
    """values (..., N) -> (..., N): signed square roots, each row of length 1; a row of zeros stays zeros."""
    return F.normalize(signed_sqrt(values), dim=-1)
