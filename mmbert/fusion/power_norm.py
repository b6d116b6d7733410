"""Power normalisation of bilinear features: the signed square root, then length 1.

    y = sign(x) √|x|,   y / |y|₂

Paper: Perronnin et al. 2010, "Improving the Fisher Kernel for Large-Scale Image Classification" (ECCV), with power ½.
Products of features have heavy tails; the root tames them. Its slope is infinite at 0: there the gradient is set to 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def signed_root(x: Tensor) -> Tensor:
    """x of any shape -> sign(x) √|x|; 0 stays 0, and has a gradient of 0."""
    nonzero = x != 0
    safe = torch.where(nonzero, x, 1.0)  # before the root, for 0 · ∞ in its gradient is NaN
    return torch.where(nonzero, safe.sign() * safe.abs().sqrt(), 0.0)


def power_normalize(x: Tensor) -> Tensor:
    """x (..., D) -> (..., D): the signed root, each vector of length 1; a vector of zeros stays one."""
    return F.normalize(signed_root(x), dim=-1, eps=torch.finfo(x.dtype).tiny)
