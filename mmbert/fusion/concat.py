"""Concatenation: the pooled vectors side by side, then one projection.

    z = W [LN(v_1); …; LN(v_M)] + b

The standard baseline of multimodal learning (Ngiam et al. 2011, "Multimodal Deep Learning", joint representation by
concatenation). Missing modalities: the slot of an absent one is filled with zeros, after its norm.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion


class ConcatFusion(Fusion):
    """Concatenates and projects.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        normalize: layer norm on each modality's vector first.
        dropout: on the concatenated vector.
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
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(sum(dims.values()), out_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        slots = [blank(self.norms[m](x.pooled), x.present) for m, x in inputs.items()]
        joined = torch.cat(slots, 1)  # (B, D_1 + … + D_M)
        fused: Tensor = self.linear(self.dropout(joined))
        return fused
