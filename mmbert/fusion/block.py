"""BLOCK: a product of the modalities by a block-superdiagonal tensor, a bilinear map of low rank in each block.

    x_m = W_m LN(v_m) + b_m                                 width S, cut into C chunks x_m^c of S / C
    y^c = Σ_{r=1..R} Π_{m ∈ P} (U_m^{c,r} x_m^c + u_m^{c,r})     P = the modalities that the sample has
    ŷ^c = sign(y^c) √|y^c|, divided by its length           each chunk on its own
    z   = W_o [ŷ^1; …; ŷ^C] + b_o

Paper: Ben-younes et al. 2019, "BLOCK: Bilinear Superdiagonal Fusion for Visual Question Answering and Visual
Relationship Detection", arXiv:1902.00038. The tensor that takes (x_1, x_2) to y is zero outside C blocks on its
superdiagonal, and each block is a sum of R terms for each of its output numbers. Biases, and the normalisation chunk
by chunk, are those of the authors' code (block.bootstrap.pytorch, ``pos_norm="before_cat"``).
Differs from it: the layer norm (``normalize=False`` leaves it out); any number of modalities, the product then running
over all of them (with two it is the paper's); the widths S = 1600, C = 20, R = 15 of the paper are smaller by default.
Missing modalities leave the product (a factor of 1): a modality on its own is mapped linearly before the root.

Initial scale: U is drawn so that y has a variance of about 1 for any R and M, W_o with a variance of 1 / C, because
|[ŷ^1; …; ŷ^C]|² = C: so z begins with a variance of 1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.power_norm import power_norm
from mmbert.fusion.layers.projection import Projection


class ChunkFactor(nn.Module):
    """One modality's factor of the block tensor: R linear maps within each chunk.

    Args:
        dim: width S of the modality's vector; ``chunks`` divides it.
        chunks: C.
        rank: R.
        variance: of the result at the start, for a vector with a variance of 1/3 as ``nn.Linear`` makes one.
    """

    def __init__(self, dim: int, chunks: int, rank: int, variance: float) -> None:
        super().__init__()
        size = dim // chunks
        self.weight = nn.Parameter(torch.randn(chunks, size, rank, size) * (3 * variance / size) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(chunks, rank, size))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, S) -> (B, C, R, S / C)."""
        return torch.einsum("bci,cirj->bcrj", x.unflatten(1, self.weight.shape[:2]), self.weight) + self.bias


class BlockFusion(Fusion):
    """Block-superdiagonal product of the projections.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        hidden_dim: width S of the projections and of their product.
        chunks: blocks C of the tensor; divides ``hidden_dim``.
        rank: terms R of each block.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``chunks`` does not divide ``hidden_dim``, or one of the numbers is below 1.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        hidden_dim: Annotated[int, Range(1)] = 320,
        chunks: Annotated[int, Range(1)] = 8,
        rank: Annotated[int, Range(1)] = 5,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if min(hidden_dim, chunks, rank) < 1:
            raise ConfigError(
                f"fusion.hidden_dim={hidden_dim}, fusion.chunks={chunks} and fusion.rank={rank} must be at least 1."
            )
        if hidden_dim % chunks:
            raise ConfigError(f"fusion.chunks={chunks} must divide fusion.hidden_dim={hidden_dim}.")
        self.project = nn.ModuleDict({m: Projection(d, hidden_dim, normalize, dropout) for m, d in dims.items()})
        variance = rank ** (-1 / len(dims))  # the product of M factors, summed over R terms, then has 1
        self.factors = nn.ModuleDict({m: ChunkFactor(hidden_dim, chunks, rank, variance) for m in dims})
        self.out = nn.Linear(hidden_dim, out_dim)
        nn.init.normal_(self.out.weight, std=chunks**-0.5)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        factors = [
            torch.where(x.present[:, None, None, None], self.factors[m](self.project[m](x.pooled, x.present)), 1.0)
            for m, x in inputs.items()
        ]  # (B, C, R, S / C) each
        product = torch.stack(factors).prod(0).sum(2)  # (B, C, S / C)
        fused: Tensor = self.out(power_norm(product).flatten(1))
        return fused
