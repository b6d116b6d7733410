"""Perceiver: a few latent vectors attend to the tokens of all modalities, then to each other, block after block.

    y  = [x_1; …; x_M],  x_m = W_m LN(tokens_m) + b_m + e_m          e_m a modality embedding
    u  = K learnt latents
    for each block:
        u ← u + Attention(q = LN(u), k = v = LN'(y)),  u ← u + FFN(LN(u))           cross-attention, only real tokens
        n times: u ← u + MSA(LN(u)),  u ← u + FFN(LN(u))                            latent transformer
    z  = W_o LN(1/K Σ_k u_k) + b_o

Paper: Jaegle et al. 2021, "Perceiver: General Perception with Iterative Attention", arXiv:2103.03206. With
``share_weights`` its scheme: all blocks share one latent transformer, and all but the first share one cross-attention.
Differs from it: the tokens come from encoders and carry their positions, so there are no Fourier features; modalities
are brought to one width by a projection with an embedding added, where the paper pads them with learnt
vectors; a norm before the output. Latents start from a normal distribution with a standard deviation of 0.02, cut off
at ±2, as in the paper.
Tokens, for heads that read them, are queries to the final latents (a layer of cross-attention for all modalities), as
in the decoder of Jaegle et al. 2021, "Perceiver IO", arXiv:2107.14795. ``pooled`` does not depend on them.
Missing modalities: their tokens are no keys.

Costs grow with K · (Σ_m L_m): linear in the number of tokens.

Diagnostics: ``attention/BLOCK`` (B, heads, K, L_1 + … + L_M), the latents' weights; and a share (B, M):
    share/attention   what the latents give to all tokens of a modality, averaged over latents, heads and blocks. A row
                      sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.shares import attention_by_modality, shares_of
from mmbert.fusion.layers.transformer import CrossLayer, SelfAttentionLayer, TokenEmbedding, check_at_least, check_heads


class PerceiverFusion(Fusion):
    """Latent vectors with cross-attention to all tokens and self-attention among themselves.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of latents, tokens and the fused vector.
        num_latents: K.
        num_blocks: how often the latents look at the tokens.
        layers_per_block: layers of the latent transformer after each look.
        share_weights: blocks share their weights, the first cross-attention excepted.
        num_heads: attention heads; divides ``out_dim``.
        ffn_ratio: width of the feed-forward blocks' middle, in multiples of ``out_dim``.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``, or there are no latents or blocks.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_latents: Annotated[int, Range(1)] = 16,
        num_blocks: Annotated[int, Range(1)] = 2,
        layers_per_block: Annotated[int, Range(0)] = 2,
        share_weights: bool = True,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        check_heads(out_dim, num_heads)
        check_at_least(num_latents, 1, "num_latents")
        check_at_least(num_blocks, 1, "num_blocks")
        check_at_least(layers_per_block, 0, "layers_per_block")
        sizes = (out_dim, num_heads, ffn_ratio, dropout, attention_dropout)
        self.num_blocks = num_blocks
        self.token_projection = nn.ModuleDict()  # tokens leave enriched: the base's plain projection is not needed
        self.embed = TokenEmbedding(dims, out_dim, normalize, dropout)
        self.latents = nn.Parameter(nn.init.trunc_normal_(torch.empty(num_latents, out_dim), std=0.02))
        self.looks = nn.ModuleList(
            CrossLayer(*sizes) for _ in range(min(num_blocks, 2) if share_weights else num_blocks)
        )
        self.thinks = nn.ModuleList(
            nn.ModuleList(SelfAttentionLayer(*sizes) for _ in range(layers_per_block))
            for _ in range(1 if share_weights else num_blocks)
        )
        self.norm = nn.LayerNorm(out_dim)
        self.out = nn.Linear(out_dim, out_dim)
        self.decode: CrossLayer | None = CrossLayer(*sizes)

    def drop_tokens(self) -> None:
        """Removes the decoder, which only makes tokens."""
        super().drop_tokens()
        self.decode = None

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if asked for."""
        streams = self.embed(inputs)
        y = torch.cat(list(streams.values()), 1)  # (B, L_1 + … + L_M, H)
        mask = torch.cat([x.mask for x in inputs.values()], 1)
        u = self.latents.expand(y.shape[0], -1, -1)  # (B, K, H)
        seen: dict[str, Tensor] = {}
        looked: list[Tensor] = []  # (B, L_1 + … + L_M) for each block
        for block in range(self.num_blocks):
            u, weights = self.looks[min(block, len(self.looks) - 1)](u, y, mask, bool(diagnostics))
            if weights is not None:
                looked.append(weights.mean((1, 2)))
                if diagnostics is True:
                    seen[f"attention/{block}"] = weights
            for layer in self.thinks[min(block, len(self.thinks) - 1)]:  # type: ignore[attr-defined]
                u, _ = layer(u, None)
        pooled = self.out(self.norm(u.mean(1)))
        lengths = [x.mask.shape[1] for x in inputs.values()]
        if diagnostics:
            present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
            seen["share/attention"] = shares_of(attention_by_modality(torch.stack(looked).mean(0), lengths), present)
        if self.decode is None:
            return Fused(pooled, diagnostics=seen)
        everywhere = torch.ones_like(mask[:, :1]).expand(-1, u.shape[1])
        read, _ = self.decode(y, u, everywhere)
        own = {m: x.mask for m, x in inputs.items()}
        parts = dict(zip(own, read.split(lengths, 1), strict=True))
        return Fused(pooled, {m: blank(parts[m], own[m]) for m in own}, own, diagnostics=seen)
