"""Attention pooling: the modalities projected to one width and added up with weights that depend on the sample.

    p_m = W_m LN(v_m) + b_m
    a   = softmax over P of  u · tanh(V p_m + c),   P = the modalities that the sample has
    z   = Σ_{m ∈ P} a_m p_m

Paper: Ilse et al. 2018, "Attention-based Deep Multiple Instance Learning", arXiv:1802.04712, equations 7 and 8, with
the modalities of a sample as the instances of a bag. Differs from it: the bias c, and a projection for each modality,
as widths differ and modalities, unlike instances, can be told apart; its gated variant (equation 9) is not here.
Missing modalities: the softmax is over the present ones. A modality on its own has the weight 1, and neither V nor u.
Weights that are the same for all samples: ``weighted_sum``.

Diagnostics: ``weight`` (B, M), the weights a; 0 where a modality is absent, a row sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import masked_softmax
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class AttentionPoolFusion(Fusion):
    """Sum of the projections with attention weights.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        attention_dim: width of the layer that scores a modality, the rows of V.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``attention_dim`` is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        attention_dim: Annotated[int, Range(1)] = 64,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if attention_dim < 1:
            raise ConfigError(f"fusion.attention_dim={attention_dim} must be 1 or more.")
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        # the softmax over a single modality gives its score no gradient; a bias of u would move all scores alike
        self.score = (
            nn.Sequential(nn.Linear(out_dim, attention_dim), nn.Tanh(), nn.Linear(attention_dim, 1, bias=False))
            if len(dims) > 1
            else None
        )

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> (B, H)."""
        projected = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        weights = self._weights(present, projected)
        pooled = (weights.unsqueeze(2) * projected).sum(1)
        return Fused(pooled, diagnostics={"weight": weights} if diagnostics else {})

    def _weights(self, present: Tensor, projected: Tensor) -> Tensor:
        """present (B, M), projected (B, M, H) -> (B, M)."""
        if self.score is None:
            return present.to(projected.dtype)
        return masked_softmax(self.score(projected).squeeze(2), present).to(projected.dtype)
