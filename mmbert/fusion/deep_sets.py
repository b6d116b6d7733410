"""Deep sets: the present modalities as a set, each through the same network, summed, through another network.

    x_m = W_m LN(v_m) + b_m                             to a common width; b_m tells the modalities apart
    z   = ρ(Σ_{m ∈ P} φ(x_m)),                          P = the modalities that the sample has
    φ(x) = φ_2 ReLU(φ_1 x),  ρ(s) = ρ_2 ReLU(ρ_1 s)     each with biases

Paper: Zaheer et al. 2017, "Deep Sets", arXiv:1703.06114: any function of a set that does not depend on the order of its
elements is ρ(Σ φ(x)) for suitable φ and ρ (their theorem 2). Differs from it: the elements come from different
encoders, so that a map of their own and a layer norm (``normalize=False`` leaves it out) go before φ.
Missing modalities are no elements of the set: their φ, bias included, is not in the sum.

Initial scale: φ and ρ keep a variance of 1 (mmbert/fusion/layers/mlp.py), and ρ_1 is smaller by √M, for a sum of M.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.mlp import two_layers
from mmbert.fusion.layers.projection import Projection


class DeepSetsFusion(Fusion):
    """One network for each element, their sum, one network for the sum.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the elements, of both networks and of the fused vector.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector and within both networks.
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
        self.phi = two_layers(out_dim, out_dim, out_dim, dropout)
        self.rho = two_layers(out_dim, out_dim, out_dim, dropout)
        with torch.no_grad():
            self.rho[0].weight.mul_(len(dims) ** -0.5)  # type: ignore[operator]

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        elements = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        fused: Tensor = self.rho(blank(self.phi(elements), present).sum(1))
        return fused
