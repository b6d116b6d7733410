"""``Projection``: layer norm, dropout and a linear layer that bring each modality's vectors to a common width."""

from __future__ import annotations

from torch import Tensor, nn

from mmbert.core.masks import blank


class Projection(nn.Module):
    """p = W · LN(v) + b, and zeros where the modality is absent.

    The layer norm (Ba et al. 2016, arXiv:1607.06450) brings encoders of very different scales to the same scale;
    without it the encoder with the largest outputs dominates.

    Args:
        dim: width D of the modality.
        out_dim: width H.
        normalize: with the layer norm; otherwise p = W · v + b.
        dropout: on the normalised vector.
    """

    def __init__(self, dim: int, out_dim: int, normalize: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim) if normalize else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(dim, out_dim)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors (..., D), mask (...) bool -> (..., H), zeros where the mask is False."""
        return blank(self.linear(self.dropout(self.norm(vectors))), mask)
