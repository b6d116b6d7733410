"""Layers in which the tokens of one modality attend to those of the others."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.masks import blank, masked_softmax


class CrossAttention(nn.Module):
    """Multi-head attention from one sequence to another; queries without a single valid key get zeros.

    Args:
        dim: width H of both sequences.
        num_heads: heads; divides ``dim``.
        dropout: on the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, queries: Tensor, keys: Tensor, mask: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """queries (B, Q, H), keys (B, K, H), mask (B, K) -> (B, Q, H), and weights (B, heads, Q, K) if asked for."""
        q = self._heads(self.query(queries))  # (B, heads, Q, H / heads)
        k, v = (self._heads(x) for x in self.key_value(keys).chunk(2, -1))
        allowed = mask[:, None, None, :]  # (B, 1, 1, K)
        weights = None
        if need_weights:
            weights = masked_softmax(q @ k.mT * q.shape[-1] ** -0.5, allowed.expand(*q.shape[:3], k.shape[2]))
            mixed = F.dropout(weights, self.dropout, self.training) @ v
        else:
            # a row without a valid key is NaN in some kernels: there every key is let in, and the result blanked
            safe = allowed | ~mask.any(1)[:, None, None, None]
            dropout = self.dropout if self.training else 0.0
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=safe, dropout_p=dropout)
        attended = self.out(mixed.transpose(1, 2).flatten(2))
        return blank(attended, mask.any(1)), weights

    def summary_weights(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """What the first query gives to each key, (B, K), averaged over heads; other arguments as of ``forward``."""
        q = self._heads(self.query(queries[:, :1]))  # (B, heads, 1, H / heads)
        k = self._heads(self.key_value(keys).chunk(2, -1)[0])
        allowed = mask[:, None, None, :].expand(-1, self.num_heads, 1, -1)
        return masked_softmax(q @ k.mT * q.shape[-1] ** -0.5, allowed).mean((1, 2))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, L, H) -> (B, heads, L, H / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CrossAttentionLayer(nn.Module):
    """One pre-norm layer of one modality's stream: attention to the others, then a feed-forward block.

    Args:
        dim: width H.
        num_heads: heads of the attention.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
        attends: whether there is anything to attend to (more than one modality).
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, attention_dropout: float, attends: bool) -> None:
        super().__init__()
        self.attention = CrossAttention(dim, num_heads, attention_dropout) if attends else None
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, normed: Tensor, others: Tensor, mask: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, Q, H), normed = LN(x), others (B, K, H), mask (B, K) -> (B, Q, H), weights or None."""
        weights = None
        if self.attention is not None:
            attended, weights = self.attention(normed, others, mask, need_weights)
            x = x + self.dropout(attended)
        return x + self.dropout(self.feed_forward(x)), weights
