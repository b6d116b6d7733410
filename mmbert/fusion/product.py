"""Product: tanh of each modality's projection to one width, multiplied element by element.

    z = Π_{m ∈ P} tanh(W_m LN(v_m) + b_m),   P = the modalities that the sample has

Paper: Antol et al. 2015, "VQA: Visual Question Answering", arXiv:1505.00468, section 4.2: both embeddings pass a layer
with tanh and are fused by element-wise multiplication. Differs from it: any number of modalities, the layer norm, and
missing modalities, whose factor is 1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class ProductFusion(Fusion):
    """Hadamard product of the squashed projections.

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
        factors = [
            torch.where(x.present.unsqueeze(1), self.project[m](x.pooled, x.present).tanh(), 1.0)
            for m, x in inputs.items()
        ]
        return torch.stack(factors).prod(0)
