"""Noisy top-k gating and its two balancing losses, among the experts that a sample can be sent to.

    clean = W_g x,   s = softplus(W_n x),   H = clean + ε ⊙ s,  ε ~ N(0, 1)       in evaluation H = clean
    G     = softmax of the k largest H, 0 elsewhere
    importance_i = Σ_x G_i(x)
    load_i       = Σ_x P(x, i),   P(x, i) = Φ((clean_i − threshold_i(x)) / s_i)
    the losses are CV² of importance and of load: (standard deviation / mean)² over the experts

threshold_i(x) is the k-th largest of all H but H_i, so that P is the chance that i would be chosen if only its own
noise were drawn anew.

Paper: Shazeer et al. 2017, "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer",
arXiv:1701.06538, equations 3 to 5, 6 to 7 and appendix A. Extended to experts that are not available for every sample:
these have no H, and importance and load of an expert are divided by what it would have if each sample were spread
evenly over its own experts, min(k, A) / A of the load and 1 / A of the importance for each of A. With all available
that divides all by one constant, which CV² does not see: the paper's losses. Where A ≤ k all are chosen, and P = 1.
Differs from it: W_g begins small rather than at 0, so that the gate passes a gradient to what it reads from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.masks import blank, masked_softmax


@dataclass(frozen=True)
class Routing:
    """The gate's weights for a batch, and its balancing losses.

    Attributes:
        gates: (B, E), of each sample's chosen experts above 0 with a sum of 1; 0 for the others.
        losses: ``importance`` and ``load``, scalars; 0 where all experts have what is fair.
    """

    gates: Tensor
    losses: dict[str, Tensor]


class NoisyGate(nn.Module):
    """Chooses k experts for each sample.

    Args:
        dim: width D of what the gate reads.
        experts: E.
        top_k: k, how many are chosen; fewer where fewer are available.
    """

    def __init__(self, dim: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = min(top_k, experts)
        self.clean = nn.Linear(dim, experts, bias=False)
        self.noise = nn.Linear(dim, experts, bias=False)
        nn.init.normal_(self.clean.weight, std=0.1 * dim**-0.5)  # scores of about 0.1: next to even
        nn.init.zeros_(self.noise.weight)

    def forward(self, x: Tensor, available: Tensor) -> Routing:
        """x (B, D), available (B, E) bool -> the gates, and the losses as means over this batch."""
        clean = self.clean(x)
        spread = F.softplus(self.noise(x))
        scores = clean + torch.randn_like(clean) * spread if self.training else clean
        ranked = scores.masked_fill(~available, torch.finfo(scores.dtype).min)
        best, order = ranked.topk(min(self.top_k + 1, ranked.shape[1]), 1)  # one more, which the thresholds need
        chosen = torch.zeros_like(available).scatter(1, order[:, : self.top_k], True) & available
        gates = masked_softmax(scores, chosen)
        chances = self._chances(clean, spread, best, chosen, available)
        number = available.sum(1, keepdim=True)  # A, (B, 1)
        fair = available.to(gates.dtype) / number.clamp(min=1)  # (B, E): 1 / A where available
        losses = {
            "importance": squared_variation(gates, fair),
            "load": squared_variation(chances, fair * number.clamp(max=self.top_k)),
        }
        return Routing(gates, losses)

    def _chances(self, clean: Tensor, spread: Tensor, best: Tensor, chosen: Tensor, available: Tensor) -> Tensor:
        """P (B, E); best (B, k + 1) are the largest scores, in order; 0 where an expert is not available."""
        if best.shape[1] == self.top_k:  # never more experts than are chosen
            return available.to(clean.dtype)
        contested = available.sum(1, keepdim=True) > self.top_k  # (B, 1)
        # without itself the k-th largest is the next one for an expert among the k largest
        threshold = torch.where(chosen, best[:, -1:], best[:, -2:-1])
        distance = clean - torch.where(contested, threshold, 0.0)
        chance = torch.special.ndtr(distance / spread.clamp(min=torch.finfo(spread.dtype).tiny))
        return blank(torch.where(contested, chance, 1.0), available)


def squared_variation(shares: Tensor, fair: Tensor) -> Tensor:
    """CV² of what the experts got, in terms of their fair share.

    Args:
        shares: (B, E).
        fair: (B, E), 0 throughout for an expert that no sample of the batch can be sent to, which does not count.

    Returns:
        Scalar: variance / mean², both over the experts; 0 when all are used as much as is fair.
    """
    exact = torch.promote_types(shares.dtype, torch.float32)  # sums over a batch are too coarse in bfloat16
    due = fair.to(exact).sum(0)
    counted = due > 0
    ratio = shares.to(exact).sum(0) / torch.where(counted, due, 1.0)  # (E,)
    number = counted.sum().clamp(min=1)
    mean = blank(ratio, counted).sum() / number
    variance = blank((ratio - mean).square(), counted).sum() / number
    return (variance / mean.square().clamp(min=torch.finfo(exact).tiny)).to(shares.dtype)
