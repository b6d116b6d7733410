"""Maximum: the modalities projected to one width, then the largest of those present, element by element.

    z_h = max_{m ∈ P} (W_m LN(v_m) + b_m)_h,   P = the modalities that the sample has

Papers: element-wise maximum over views, Su et al. 2015, "Multi-view Convolutional Neural Networks for 3D Shape
Recognition", arXiv:1505.00880; max fusion of two streams, Feichtenhofer et al. 2016, "Convolutional Two-Stream Network
Fusion for Video Action Recognition", arXiv:1604.06773. Differs from them: over vectors, not over feature maps; each
modality has a projection of its own, as widths differ. Missing modalities: the maximum is over the present ones; zeros
of an absent one never win.

Diagnostics: ``share/max`` (B, M), the share of the H elements that come from each modality; a row sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import nn

from mmbert.core.masks import masked_max
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class MaxFusion(Fusion):
    """Elementwise maximum of the projections.

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

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> (B, H)."""
        projected = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        pooled = masked_max(projected, present)
        if not diagnostics:
            return Fused(pooled)
        winner = projected.masked_fill(~present.unsqueeze(2), -torch.inf).argmax(1)  # (B, H)
        wins = F.one_hot(winner, len(inputs)).to(pooled.dtype).mean(1)  # (B, M)
        return Fused(pooled, diagnostics={"share/max": wins})
