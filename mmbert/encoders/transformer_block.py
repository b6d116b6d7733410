"""``TransformerBlock``: self-attention and a feed-forward layer, each behind a layer norm, over tokens with a mask."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class TransformerBlock(nn.Module):
    """The pre-norm block of Xiong et al. 2020 (arXiv:2002.04745): x + A(norm x), then x + F(norm x).

    Args:
        dim: D.
        heads: of the attention; they divide D.
        dropout: in both branches, and on the attention's weights.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, L) with a real token in every row -> (B, L, D)."""
        size, length, dim = x.shape
        parts = self.query_key_value(self.norm_attention(x)).view(size, length, 3, self.heads, dim // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, L, D / heads) each
        rate = self.rate if self.training else 0.0
        seen = F.scaled_dot_product_attention(query, key, value, mask[:, None, None], dropout_p=rate)
        x = x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.feed_forward(self.norm_feed_forward(x)))
