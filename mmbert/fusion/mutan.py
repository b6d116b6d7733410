"""MUTAN: a Tucker decomposition of the bilinear map of the projections' tanh, each slice of whose core has rank R.

    x_m = tanh(W_m LN(v_m) + b_m)                        (B, t)
    s   = Σ_{r = 1..R} Π_{m ∈ P} (x_mᵀ M_m^r)            (B, t_o),   P = the modalities that the sample has
    z   = W_o s + b_o

For two modalities s_k = x_1ᵀ T_k x_2 with the core's slice T_k = Σ_r M_1^r[:, k] M_2^r[:, k]ᵀ.

Paper: Ben-younes et al. 2017, "MUTAN: Multimodal Tucker Fusion for Visual Question Answering", arXiv:1705.06676,
with tanh and the biases b of the authors' code (vqa.pytorch, ``MutanFusion`` with the options of ``mutan_noatt_train``:
R = 10 and t = t_o = 360 there), which has biases in the R factors too, where the formula has none and there are none
here. Its attention over the places of a picture is not here. Differs from it: the layer norm; any number of modalities,
whose core of M + 1 ways has slices that are sums of R outer products of M vectors; and missing ones, which leave the
product (a factor of 1): of three modalities without one, what remains is the formula for two.
At the start z has a variance of about 1: W_m and M_m^r of unit variance with E[tanh²] = 0.39 between them, a sum of R
independent products, and W_o drawn to make up for R.
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


class MUTANFusion(Fusion):
    """Tucker decomposition with a core whose slices have rank R.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        joint_dim: t and t_o, the width of the core in every direction.
        rank: R, of each slice of the core.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``joint_dim`` or ``rank`` is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        joint_dim: Annotated[int, Range(1)] = 128,
        rank: Annotated[int, Range(1)] = 5,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if joint_dim < 1 or rank < 1:
            raise ConfigError(f"fusion.joint_dim={joint_dim} and fusion.rank={rank} must be 1 or more.")
        self.rank = rank
        self.project = nn.ModuleDict({m: Projection(d, joint_dim, normalize, dropout) for m, d in dims.items()})
        for projection in self.project.values():
            unit_variance(projection.linear)  # type: ignore[arg-type]
        self.core = nn.ModuleDict(
            {m: unit_variance(nn.Linear(joint_dim, rank * joint_dim, bias=False), TANH_MEAN_SQUARE) for m in dims}
        )
        self.out = unit_variance(nn.Linear(joint_dim, out_dim), rank)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        factors = [
            torch.where(x.present.unsqueeze(1), self.core[m](self.project[m](x.pooled, x.present).tanh()), 1.0)
            for m, x in inputs.items()
        ]
        products = torch.stack(factors).prod(0)  # (B, R · t_o)
        fused: Tensor = self.out(products.unflatten(1, (self.rank, -1)).sum(1))
        return fused
