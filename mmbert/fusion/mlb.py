"""Low-rank bilinear pooling: both modalities projected to one width, multiplied element by element, projected again.

    z = Pᵀ (Π_{m ∈ P} tanh(U_mᵀ LN(v_m) + b_m)) + b,   P = the modalities that the sample has

Paper: Kim et al. 2017, "Hadamard Product for Low-rank Bilinear Pooling", arXiv:1610.04325, the full model with biases
and with the activation before the product; for two modalities f = Pᵀ(σ(Uᵀx + b_x) ∘ σ(Vᵀy + b_y)) + b. Of the paper's
variants the shortcut connections and the activation after the product are not here, nor is its attention over the
places of a picture. Differs from it: the layer norm, any number of modalities, and missing ones, which leave the
product (a factor of 1). ``product`` is the same without P, with a product as wide as the output.
At the start z has a variance of about 1 when all modalities are present: U_m of unit variance, E[tanh²] = 0.39 a
factor, and P drawn to make up for it.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.init import TANH_MEAN_SQUARE, unit_variance
from mmbert.fusion.layers.projection import Projection


class MLBFusion(Fusion):
    """Hadamard product of the projections' tanh, projected to the output's width.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        joint_dim: width d of the product: the rank of the bilinear form that each output is.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``joint_dim`` is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        joint_dim: Annotated[int, Range(1)] = 256,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if joint_dim < 1:
            raise ConfigError(f"fusion.joint_dim={joint_dim} must be 1 or more.")
        self.project = nn.ModuleDict({m: Projection(d, joint_dim, normalize, dropout) for m, d in dims.items()})
        for projection in self.project.values():
            unit_variance(projection.linear)  # type: ignore[arg-type]
        self.out = unit_variance(nn.Linear(joint_dim, out_dim), TANH_MEAN_SQUARE ** len(dims))

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        factors = [
            torch.where(x.present.unsqueeze(1), self.project[m](x.pooled, x.present).tanh(), 1.0)
            for m, x in inputs.items()
        ]
        fused: Tensor = self.out(torch.stack(factors).prod(0))
        return fused
