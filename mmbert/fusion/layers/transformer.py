"""Transformer blocks of the token-level strategies: token embedding, self-attention, cross-attention, feed-forward.

Attention as in Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762: softmax(q kᵀ / √(H / heads)) v, head
by head. Layers have their norms before the sublayers (Xiong et al. 2020, "On Layer Normalization in the Transformer
Architecture", arXiv:2002.04745):

    x ← x + Attention(LN(x))                 or x + Attention(q = LN(x), k = v = LN'(y)) between two sequences
    x ← x + FFN(LN(x))                       FFN = Linear, activation, Linear

The attention weights are computed only with ``need_weights``; otherwise torch's fused kernel works without them. It has
no dropout on a CPU, which is why dropout on attention weights is an option of its own, and off by default.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import masked_softmax
from mmbert.core.types import Encoded
from mmbert.fusion.layers.cross_attention import CrossAttention
from mmbert.fusion.layers.projection import Projection


def check_heads(width: int, num_heads: int, named: str = "fusion.out_dim") -> None:
    """Refuses heads that do not divide the width.

    Raises:
        ConfigError: they do not.
    """
    if num_heads < 1 or width % num_heads:
        raise ConfigError(f"fusion.num_heads={num_heads} must divide {named}={width}.")


def check_at_least(number: int, least: int, named: str) -> None:
    """Refuses fewer layers, latents, … than a strategy needs.

    Raises:
        ConfigError: ``number`` is less than ``least``.
    """
    if number < least:
        raise ConfigError(f"fusion.{named}={number} must be at least {least}.")


class TokenEmbedding(nn.Module):
    """x_m = W_m LN(tokens_m) + b_m + e_m: tokens of all modalities in one width, with a modality embedding.

    Args:
        dims: width D_m of each modality, by name.
        width: their common width H.
        normalize: with the layer norm.
        dropout: on the normalised tokens.
    """

    def __init__(self, dims: Mapping[str, int], width: int, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict({m: Projection(d, width, normalize, dropout) for m, d in dims.items()})
        self.modality = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(width)) for m in dims})

    def forward(self, inputs: Mapping[str, Encoded], pooled_first: bool = False) -> dict[str, Tensor]:
        """``tokens`` (B, L_m, D_m) each -> (B, L_m, H); with ``pooled`` before them if asked for, (B, 1 + L_m, H)."""
        streams = {}
        for m, x in inputs.items():
            tokens = torch.cat([x.pooled.unsqueeze(1), x.tokens], 1) if pooled_first else x.tokens
            mask = with_first(x.mask, x.present) if pooled_first else x.mask
            streams[m] = self.project[m](tokens, mask) + self.modality[m]
        return streams


def with_first(mask: Tensor, first: Tensor | None = None) -> Tensor:
    """mask (B, L) -> (B, 1 + L): a place before the others, real where ``first`` (B,) is True; None = everywhere."""
    first = torch.ones_like(mask[:, :1]) if first is None else first.unsqueeze(1)
    return torch.cat([first, mask], 1)


def heads_of(x: Tensor, num_heads: int) -> Tensor:
    """(B, L, H) -> (B, heads, L, H / heads)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """(B, heads, Q, d), twice (B, heads, K, d), mask (B, K) with a True in each row -> (B, Q, heads · d)."""
    allowed = None if mask is None else mask[:, None, None, :]
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """q (B, heads, Q, d), k (B, heads, K, d), mask (B, K) -> (B, heads, Q, K); a row without a key has zeros."""
    scores = q @ k.mT * q.shape[-1] ** -0.5
    return scores.softmax(-1) if mask is None else masked_softmax(scores, mask[:, None, None, :].expand_as(scores))


class SelfAttention(nn.Module):
    """Multi-head self-attention, with one matrix for queries, keys and values.

    Args:
        dim: width H.
        num_heads: heads; divides ``dim``.
        dropout: on the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Tensor, mask: Tensor | None, query_tokens: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Every token attends to all real ones, or only those of ``query_tokens`` do.

        Args:
            x: (B, L, H).
            mask: (B, L), each row with a True; None = all are real.
            query_tokens: (B, Q, H), a part of ``x``; None = all of it.
            need_weights: return the weights too.

        Returns:
            (B, Q, H), and the weights (B, heads, Q, L) if need_weights.
        """
        if query_tokens is None:
            q, k, v = (heads_of(part, self.num_heads) for part in self.qkv(x).chunk(3, -1))
        else:
            q, k, v = (*self._queries_and_keys(x, query_tokens), heads_of(self._part(x, 2), self.num_heads))
        dropout = self.dropout if self.training else 0.0
        weights = attention_weights(q, k, mask) if need_weights else None
        if weights is None:
            mixed = attend(q, k, v, mask, dropout)
        else:
            mixed = (F.dropout(weights, dropout) @ v).transpose(1, 2).flatten(2)
        return self.out(mixed), weights

    def weights_of(self, x: Tensor, mask: Tensor | None, query_tokens: Tensor) -> Tensor:
        """What ``query_tokens`` (B, Q, H) gives to each of x (B, L, H): (B, L), averaged over heads and over the Q."""
        return attention_weights(*self._queries_and_keys(x, query_tokens), mask).mean((1, 2))

    def _queries_and_keys(self, x: Tensor, query_tokens: Tensor) -> tuple[Tensor, Tensor]:
        return heads_of(self._part(query_tokens, 0), self.num_heads), heads_of(self._part(x, 1), self.num_heads)

    def _part(self, x: Tensor, number: int) -> Tensor:
        """Only queries (0), keys (1) or values (2): (B, L, H) -> (B, L, H)."""
        return F.linear(x, self.qkv.weight.chunk(3)[number], self.qkv.bias.chunk(3)[number])


class SquaredReLU(nn.Module):
    """max(0, x)²: So et al. 2021, "Primer", arXiv:2109.08668."""

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape, element by element."""
        return x.relu().square()


def feed_forward(dim: int, ratio: int, dropout: float, activation: type[nn.Module] = nn.GELU) -> nn.Sequential:
    """Linear, activation, dropout, Linear, with ``ratio`` times the width in the middle."""
    return nn.Sequential(nn.Linear(dim, ratio * dim), activation(), nn.Dropout(dropout), nn.Linear(ratio * dim, dim))


class SelfAttentionLayer(nn.Module):
    """A pre-norm transformer layer.

    Args:
        dim: width H.
        num_heads: heads; divides ``dim``.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
        activation: of the feed-forward block.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_ratio: int,
        dropout: float,
        attention_dropout: float,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads, attention_dropout)
        self.ffn_norm = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim, ffn_ratio, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, query_tokens: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, L, H), mask (B, L), query_tokens (B, Q, H) a part of x or None -> (B, Q, H), weights or None."""
        normed = self.attention_norm(x)
        queries = None if query_tokens is None else self.attention_norm(query_tokens)
        attended, weights = self.attention(normed, mask, queries, need_weights)
        x = (x if query_tokens is None else query_tokens) + self.dropout(attended)
        return x + self.dropout(self.ffn(self.ffn_norm(x))), weights

    def weights_of(self, x: Tensor, mask: Tensor | None, query_tokens: Tensor) -> Tensor:
        """What ``query_tokens`` (B, Q, H) gives to each of x (B, L, H): (B, L), averaged over heads and over the Q."""
        return self.attention.weights_of(self.attention_norm(x), mask, self.attention_norm(query_tokens))


class CrossLayer(nn.Module):
    """A pre-norm cross-attention layer: one sequence attends to another, which adds nothing where it has no real token.

    Args:
        dim: width H of both.
        num_heads: heads; divides ``dim``.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
        activation: of the feed-forward block.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        ffn_ratio: int,
        dropout: float,
        attention_dropout: float,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim)
        self.key_norm = nn.LayerNorm(dim)
        self.attention = CrossAttention(dim, num_heads, attention_dropout)
        self.ffn_norm = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim, ffn_ratio, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """x (B, Q, H) attends to y (B, K, H), mask (B, K) -> (B, Q, H), and weights (B, heads, Q, K) if asked for."""
        attended, weights = self.attention(self.query_norm(x), self.key_norm(y), mask, need_weights)
        x = x + self.dropout(attended)
        return x + self.dropout(self.ffn(self.ffn_norm(x))), weights
