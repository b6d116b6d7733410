"""Bilinear: every product of an element of one modality with an element of another, each with a weight of its own.

    x_m = W_m LN(v_m) + b_m
    two modalities   z_h = x_1ᵀ T_h x_2 + b_h                                   T (H, d, d), every weight learned
    more than two    z_h = Σ_{i < j} x_iᵀ T_h^{ij} x_j + b_h                    over all pairs

Papers: Tenenbaum & Freeman 2000, "Separating Style and Content with Bilinear Models", Neural Computation 12(6); with
learned features, Lin et al. 2015, "Bilinear CNN Models for Fine-grained Visual Recognition", arXiv:1504.07889. Differs
from them: the projection to d, without which (``joint_dim=null``) T has D_1 · D_2 · H weights, 75 million for two
encoders of width 768; any number of modalities, in pairs rather than in one tensor of d^M · H weights; the signed root
and l2 norm of Lin et al. are not here (see ``mcb``, which has them).
Missing modalities: the absent one of a pair is replaced by ones, so that the pair is a linear map of the present one,
x_iᵀ (T_h 1), with the variance of the whole; a pair of which neither is there is left out. A modality on its own is
paired with ones in the same way, which makes it a linear map.
At the start every number that a product is made of has a variance of about 1, and z of about 1/3 (layer norm and a
projection of unit variance; then the usual draw of ``nn.Linear``).
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.init import unit_variance
from mmbert.fusion.layers.outer_product import outer_product
from mmbert.fusion.layers.projection import Projection


class BilinearFusion(Fusion):
    """Outer products of all pairs, and one linear layer that reads them.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        joint_dim: width d to which each modality is projected first; None = each keeps its own width.
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
        joint_dim: Annotated[int | None, Range(1)] = 32,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if joint_dim is not None and joint_dim < 1:
            raise ConfigError(f"fusion.joint_dim={joint_dim} must be 1 or more, or null for the encoders' own widths.")
        self.joint_dim = joint_dim
        if joint_dim is None:
            self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
            self.dropout = nn.Dropout(dropout)
        else:
            self.project = nn.ModuleDict({m: Projection(d, joint_dim, normalize, dropout) for m, d in dims.items()})
            for projection in self.project.values():
                unit_variance(projection.linear)  # type: ignore[arg-type]
        width = {m: joint_dim or d for m, d in dims.items()}
        self.pairs = list(combinations(dims, 2))
        products = sum(width[i] * width[j] for i, j in self.pairs) or sum(width.values())
        self.out = nn.Linear(products, out_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        present = {m: x.present for m, x in inputs.items()}
        factors = {m: torch.where(present[m].unsqueeze(1), self._vector(m, x), 1.0) for m, x in inputs.items()}
        products = [
            blank(outer_product([factors[i], factors[j]]), present[i] | present[j])  # (B, d_i · d_j)
            for i, j in self.pairs
        ]
        fused: Tensor = self.out(torch.cat(products or list(factors.values()), 1))
        return fused

    def _vector(self, name: str, x: Encoded) -> Tensor:
        """(B, d) of one modality, before the absent are replaced."""
        if self.joint_dim is None:
            vector: Tensor = self.dropout(self.norms[name](x.pooled))
        else:
            vector = self.project[name](x.pooled, x.present)
        return vector
