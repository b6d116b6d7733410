"""Mean: the modalities projected to one width, then averaged over those present.

    z = 1/|P| Σ_{m ∈ P} (W_m LN(v_m) + b_m),   P = the modalities that the sample has

Averaging of modality embeddings, as in Baltrušaitis et al. 2019, "Multimodal Machine Learning: A Survey and Taxonomy",
arXiv:1705.09406 (joint representations). Missing modalities: the mean is over the present ones, not over all M.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.masks import masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class MeanFusion(Fusion):
    """Mean of the projections.

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

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        projected = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        return masked_mean(projected, present)
