"""Weighted sum: the modalities projected to one width and added up with learned weights, the same for every sample.

    z = Σ_{m ∈ P} w_m (W_m LN(v_m) + b_m),   w = softmax of s over P,   P = the modalities that the sample has

s has one learned number a modality and starts at 0, which makes the beginning the mean. The form is the scalar mix of
Peters et al. 2018, "Deep contextualized word representations", arXiv:1802.05365, equation 1, which weighs layers.
Differs from it: modalities, each with a projection of its own, and no overall factor γ, which the head after it can
learn. Missing modalities: the softmax is over the present ones, so that the weights always sum to 1. A modality on its
own has no s: its weight is 1 whatever it would be. Weights that depend on the sample: ``attention_pool``.

Diagnostics: ``weight`` (B, M), the weights; 0 where a modality is absent, a row sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.masks import masked_softmax
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class WeightedSumFusion(Fusion):
    """Sum of the projections with one learned weight for each modality.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        # the softmax over a single modality gives its score no gradient
        self.scores = nn.Parameter(torch.zeros(len(dims))) if len(dims) > 1 else None

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> (B, H)."""
        projected = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        weights = self._weights(present, projected)
        pooled = (weights.unsqueeze(2) * projected).sum(1)
        return Fused(pooled, diagnostics={"weight": weights} if diagnostics else {})

    def _weights(self, present: Tensor, like: Tensor) -> Tensor:
        """present (B, M) -> (B, M) in the number format of ``like``."""
        if self.scores is None:
            return present.to(like.dtype)
        return masked_softmax(self.scores.expand(present.shape), present).to(like.dtype)
