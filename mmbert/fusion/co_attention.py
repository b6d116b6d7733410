"""Co-attention: cross-attention between the modalities' token streams, then self-attention in each, in turns.

    x_m  = [W_m LN(v_m); W_m LN(tokens_m)] + b_m + e_m      the pooled vector goes before its tokens, as their summary
    n times:
        q_m, k_m, v_m = x_m's queries, keys and values                        all modalities at once
        x_m ← LN(x_m + W Attention(q_m, [k_j]_{j ≠ m}, [v_j]_{j ≠ m}))        only real tokens of the others
        x_m ← LN(x_m + FFN(x_m))                                              FFN = Linear, GELU, Linear
        x_m ← LN(x_m + MSA(x_m)),  x_m ← LN(x_m + FFN'(x_m))                  and a layer of its own
    z    = 1/|P| Σ_{m ∈ P} ReLU(P_m x_m at the summary + p_m),                P = the modalities that the sample has

Paper: Lu et al. 2019, "ViLBERT: Pretraining Task-Agnostic Visiolinguistic Representations for Vision-and-Language
Tasks", arXiv:1908.02265: co-attentional transformer layers, each followed by a transformer layer, with BERT's norms
after the sublayers; a summary token before the picture's regions, which is their mean; a pooler of Linear and ReLU on
each summary. Near it, Tan and Bansal 2019, "LXMERT", arXiv:1908.07490: cross-attention, then self-attention, then a
single feed-forward block. Differs from ViLBERT: any number of modalities, of which each looks at the keys and values of
all the others in one attention (with two it is the paper's); every modality has a summary; the poolers' outputs are
averaged, where the paper multiplies two of them (its code can add them up too), as a product of many rectified vectors
is zero nearly everywhere; all streams have the same width; random rather than BERT weights at the start, and none of
the objectives of pre-training.
Missing modalities: their tokens are no keys, and their summaries leave the mean. A token that finds no key at all (its
sample has one modality) gets zeros from the co-attention, without a bias, and goes on through norm and FFN. With a
single modality in ``dims`` there are only its own layers.

Diagnostics: ``co_attention/LAYER/MODALITY`` (B, heads, 1 + L_m, K) and ``attention/LAYER/MODALITY``
(B, heads, 1 + L_m, 1 + L_m), the weights of both kinds of layers; and two shares (B, M), as of ``cross_attention``:
    share/attention   which modality is looked at: what the summaries of the others give to all of its tokens in the
                      co-attentions, averaged over heads, layers and those others that the sample has; a row sums to 1.
    share/output      how much of z each summary makes: |ReLU(P_m x_m + p_m)| over the sum of these. A row sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.masks import blank, masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.cross_attention import by_modality
from mmbert.fusion.layers.shares import shares_of
from mmbert.fusion.layers.transformer import (
    SelfAttention,
    TokenEmbedding,
    attend,
    attention_weights,
    check_at_least,
    check_heads,
    feed_forward,
    heads_of,
    with_first,
)


class AddAndNorm(nn.Module):
    """Both residual steps of a BERT layer: LN(x + attended), then LN(x + FFN(x)).

    Args:
        dim: width H.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
    """

    def __init__(self, dim: int, ffn_ratio: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.ffn = feed_forward(dim, ffn_ratio, dropout)
        self.ffn_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """Both (B, L, H) -> (B, L, H)."""
        x = self.attention_norm(x + self.dropout(attended))
        normed: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return normed


class CoAttentionLayer(nn.Module):
    """One layer of all streams: each one's queries meet the keys and values of the others.

    Args:
        names: the modalities.
        dim: width H.
        num_heads: heads; divides ``dim``.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
    """

    def __init__(
        self, names: list[str], dim: int, num_heads: int, ffn_ratio: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_dropout = attention_dropout
        self.qkv = nn.ModuleDict({m: nn.Linear(dim, 3 * dim) for m in names})
        self.out = nn.ModuleDict({m: nn.Linear(dim, dim) for m in names})
        self.rest = nn.ModuleDict({m: AddAndNorm(dim, ffn_ratio, dropout) for m in names})

    def forward(
        self, streams: dict[str, Tensor], others: dict[str, Tensor], need_weights: bool = False
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Streams (B, N_m, H), masks of each one's others (B, K) -> streams, and weights (B, heads, N_m, K) or none."""
        parts = {m: self._projected(m, x) for m, x in streams.items()}
        updated, seen = {}, {}
        for m, x in streams.items():
            k, v = (torch.cat([parts[j][i] for j in parts if j != m], 2) for i in (1, 2))
            q, there = parts[m][0], others[m]
            found = there.any(1, keepdim=True)  # (B, 1)
            dropout = self.attention_dropout if self.training else 0.0
            if need_weights:
                seen[m] = attention_weights(q, k, there)
                mixed = (F.dropout(seen[m], dropout) @ v).transpose(1, 2).flatten(2)
            else:
                # a row without a valid key is NaN in some kernels: there every key is let in, and the result blanked
                mixed = attend(q, k, v, there | ~found, dropout)
            updated[m] = self.rest[m](x, blank(self.out[m](mixed), found.squeeze(1)))
        return updated, seen

    def weights_of_summaries(self, streams: dict[str, Tensor], others: dict[str, Tensor]) -> dict[str, Tensor]:
        """What each summary gives to each token of the others, averaged over heads: {name: (B, K)}."""
        keys = {m: self._projected(m, x)[1] for m, x in streams.items()}
        weights = {}
        for m, x in streams.items():
            q = self._projected(m, x[:, :1])[0]
            k = torch.cat([keys[j] for j in keys if j != m], 2)
            weights[m] = attention_weights(q, k, others[m]).mean((1, 2))
        return weights

    def _projected(self, name: str, x: Tensor) -> tuple[Tensor, ...]:
        """(B, N, H) -> queries, keys, values (B, heads, N, H / heads)."""
        return tuple(heads_of(part, self.num_heads) for part in self.qkv[name](x).chunk(3, -1))


class OwnLayer(nn.Module):
    """A layer of one stream by itself, as BERT's: self-attention and feed-forward, each followed by its norm.

    Args:
        dim: width H.
        num_heads: heads; divides ``dim``.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
    """

    def __init__(self, dim: int, num_heads: int, ffn_ratio: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, num_heads, attention_dropout)
        self.rest = AddAndNorm(dim, ffn_ratio, dropout)

    def forward(
        self, x: Tensor, mask: Tensor, query_tokens: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, N, H), mask (B, N), query_tokens (B, Q, H) a part of x or None -> (B, Q, H), weights or None."""
        attended, weights = self.attention(x, mask, query_tokens, need_weights)
        return self.rest(x if query_tokens is None else query_tokens, attended), weights


class CoAttentionFusion(Fusion):
    """Token streams with co-attention and self-attention in turns.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        num_layers: how often the streams meet, each time before a layer of their own.
        num_heads: attention heads; divides ``out_dim``.
        ffn_ratio: width of the feed-forward blocks' middle, in multiples of ``out_dim``.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``, or there are no layers.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_layers: Annotated[int, Range(1)] = 1,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        check_heads(out_dim, num_heads)
        check_at_least(num_layers, 1, "num_layers")
        sizes = (out_dim, num_heads, ffn_ratio, dropout, attention_dropout)
        self.token_projection = nn.ModuleDict()  # tokens leave enriched: the base's plain projection is not needed
        self.embed = TokenEmbedding(dims, out_dim, normalize, dropout)
        self.meetings = nn.ModuleList(
            CoAttentionLayer(list(dims), *sizes) for _ in range(num_layers if len(dims) > 1 else 0)
        )
        self.layers = nn.ModuleList(nn.ModuleDict({m: OwnLayer(*sizes) for m in dims}) for _ in range(num_layers))
        self.poolers = nn.ModuleDict({m: nn.Linear(out_dim, out_dim) for m in dims})

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m), ``pooled`` (B, D_m) each -> Fused, with the header's diagnostics if asked for."""
        streams = self.embed(inputs, pooled_first=True)  # (B, 1 + L_m, H)
        masks = {m: with_first(x.mask, x.present) for m, x in inputs.items()}
        # the stream of an absent modality attends to its own zeros (no NaN); nothing reads it
        safe = {m: mask | ~inputs[m].present.unsqueeze(1) for m, mask in masks.items()}
        others = {m: torch.cat([masks[j] for j in masks if j != m], 1) for m in masks} if self.meetings else {}
        seen: dict[str, Tensor] = {}
        looked: list[Tensor] = []  # (B, M) for each layer and modality
        everything = diagnostics is True
        for number, layers in enumerate(self.layers):
            if self.meetings:
                meeting = self.meetings[number]
                if diagnostics:
                    for m, weights in meeting.weights_of_summaries(streams, others).items():  # type: ignore[operator]
                        looked.append(blank(by_modality(weights, masks, m), inputs[m].present))
                streams, weights_met = meeting(streams, others, everything)
                seen |= {f"co_attention/{number}/{m}": weights for m, weights in weights_met.items()}
            # after the last layer only the summaries are read, unless tokens or weights are asked for
            summary_only = number == len(self.layers) - 1 and not self._emits_tokens and not everything
            for m, x in streams.items():
                # contiguous: torch.compile would take the strides of a slice for constants, whatever the length
                query_tokens = x[:, :1].contiguous() if summary_only else None
                streams[m], own_weights = layers[m](x, safe[m], query_tokens, everything)  # type: ignore[index]
                if own_weights is not None:
                    seen[f"attention/{number}/{m}"] = own_weights
        summaries = torch.stack([self.poolers[m](x[:, 0]).relu() for m, x in streams.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        pooled = masked_mean(summaries, present)
        if diagnostics:
            if looked:
                seen["share/attention"] = shares_of(torch.stack(looked).sum(0), present)
            seen["share/output"] = shares_of(summaries.norm(dim=2), present)
        if not self._emits_tokens:
            return Fused(pooled, diagnostics=seen)
        own = {m: x.mask for m, x in inputs.items()}
        return Fused(pooled, {m: blank(x[:, 1:], own[m]) for m, x in streams.items()}, own, diagnostics=seen)
