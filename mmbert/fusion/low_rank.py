"""Low-rank multimodal fusion (LMF): the tensor of tensor fusion in factors, so that it is never built.

    z = Σ_{r=1..R} Π_m W_m^r [h_m; 1] + b,   h_m = LN(v_m) where the modality is present, 0 where it is absent

Paper: Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", arXiv:1806.00064. It is
the linear map W · ([h_1; 1] ⊗ … ⊗ [h_M; 1]) + b whose weight is W = Σ_r ⊗_m W_m^r, for any number of modalities; the
test builds that tensor and compares. The number of parameters grows with Σ D_m rather than with Π D_m.
Differs from it: h_m is the encoder's vector with a layer norm (``normalize=False`` leaves it out) rather than the
output of a subnetwork of its own. The R terms are summed as in the paper; the authors' code weighs them with R
learned numbers, which the factors can take in.
Missing modalities: only the 1 of [0; 1] is left, as in the full tensor: all products of the present modalities stay.

Initial scale: the row of W_m^r that meets the 1 gives half of a factor's variance, the others together the other half,
and the variance of a factor is R^(-1/M): so z begins with a variance of 1, and of a sample with one modality, 2^(1-M).
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion


class LowRankFusion(Fusion):
    """Sum over ranks of the product of the modalities' factors.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        rank: terms R of the sum.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``rank`` is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        rank: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if rank < 1:
            raise ConfigError(f"fusion.rank={rank} must be at least 1.")
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
        self.dropout = nn.Dropout(dropout)
        self.factors = nn.ParameterDict({m: nn.Parameter(torch.randn(rank, d + 1, out_dim)) for m, d in dims.items()})
        self.bias = nn.Parameter(torch.zeros(out_dim))
        half = rank ** (-1 / len(dims)) / 2
        with torch.no_grad():
            for m, d in dims.items():
                self.factors[m][:, :d] *= (half / d) ** 0.5
                self.factors[m][:, d] *= half**0.5

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        factors = []
        for m, x in inputs.items():
            h = blank(self.dropout(self.norms[m](x.pooled)), x.present)
            weight, of_one = self.factors[m].split([self.dims[m], 1], 1)  # (R, D_m, H), (R, 1, H)
            factors.append(h @ weight + of_one)  # (R, B, H): [h; 1] times the whole, without joining h and 1
        return torch.stack(factors).prod(0).sum(0) + self.bias
