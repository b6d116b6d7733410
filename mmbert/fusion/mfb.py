"""Factorised bilinear pooling: both modalities expanded, multiplied element by element, summed in groups, normalised.

    e = dropout(Π_{m ∈ P} (U_mᵀ LN(v_m) + b_m))          (B, o · k),   P = the modalities that the sample has
    s_i = Σ_{f = 1..k} e_{i k + f}                       sum pooling over k neighbours: k factors for each of o outputs
    y = sign(s) sqrt(|s|),   z = W_o (y / |y|) + b_o     power and l2 normalisation, then a linear layer

Paper: Yu et al. 2017, "Multi-modal Factorized Bilinear Pooling with Co-Attention Learning for Visual Question
Answering", arXiv:1708.01471; U_m has biases as in the authors' code. W_o stands for the layer with which the
paper predicts answers, and brings the o numbers of length 1 to width H. Its co-attention and the cascade of several
blocks (MFH) are not here. Differs from it: the layer norm, any number of modalities, and missing ones, which leave the
product (a factor of 1). The root is straightened below 1e-8: mmbert/fusion/layers/power_norm.py.
At the start z has a variance of 1: y / |y| has the length 1, and W_o independent weights of variance 1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.init import unit_variance
from mmbert.fusion.layers.power_norm import power_norm
from mmbert.fusion.layers.projection import Projection


class MFBFusion(Fusion):
    """Expand, multiply, sum-pool, normalise.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        joint_dim: o, how many bilinear forms there are.
        factors: k, the rank of each of them.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.
        product_dropout: on the products, before they are summed; the paper's dropout.

    Raises:
        ConfigError: ``joint_dim`` or ``factors`` is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        joint_dim: Annotated[int, Range(1)] = 256,
        factors: Annotated[int, Range(1)] = 5,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        product_dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if joint_dim < 1 or factors < 1:
            raise ConfigError(f"fusion.joint_dim={joint_dim} and fusion.factors={factors} must be 1 or more.")
        self.factors = factors
        wide = joint_dim * factors
        self.project = nn.ModuleDict({m: Projection(d, wide, normalize, dropout) for m, d in dims.items()})
        for projection in self.project.values():
            unit_variance(projection.linear)  # type: ignore[arg-type]
        self.product_dropout = nn.Dropout(product_dropout)
        self.out = unit_variance(nn.Linear(joint_dim, out_dim), 1 / joint_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        expanded = [
            torch.where(x.present.unsqueeze(1), self.project[m](x.pooled, x.present), 1.0) for m, x in inputs.items()
        ]
        products = self.product_dropout(torch.stack(expanded).prod(0))  # (B, o · k)
        summed = products.unflatten(1, (-1, self.factors)).sum(2)  # (B, o)
        fused: Tensor = self.out(power_norm(summed))
        return fused
