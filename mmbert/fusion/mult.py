"""MulT: a crossmodal transformer for every ordered pair of modalities, then self-attention, then the last tokens.

    x_m      = W_m LN(tokens_m) + b_m + e_m + PE            (L_m, d), PE the sinusoids of Vaswani et al. 2017
    for each target α and source β ≠ α, starting from x_α:
        z_{β→α} ← z_{β→α} + Attention(q = LN(z_{β→α}), k = v = LN'(x_β))      always the source's first tokens
        z_{β→α} ← z_{β→α} + FFN(LN(z_{β→α}))                                  FFN = Linear, ReLU, Linear
    z_α      = T_α([LN(z_{β→α})]_{β ≠ α})                   (L_α, (M - 1) d), T_α a transformer with self-attention
    h        = [z_α at its last real token]_α               zeros for an absent α
    z        = W_o (h + W_2 ReLU(W_1 h + b_1) + b_2) + b_o

Paper: Tsai et al. 2019, "Multimodal Transformer for Unaligned Multimodal Language Sequences", arXiv:1906.00295,
section 3. Where the printed formula adds LN(z) to what a sublayer gives, the authors' code adds z; so does this.
Differs from paper and code: padding is masked everywhere, in attention and in the choice of the last token, where the
code has no padding; any number of modalities (with three it is the paper's); the projection stands for a
temporal convolution of kernel size 1, the default of the code, with a layer norm before it; the sinusoids are added to
tokens of about their own size, where the code multiplies the tokens by √d first; they are not added again
before T_α; queries and keys have norms of their own.
Positions: the tokens of this package's encoders carry their positions, but features that were extracted elsewhere may
not, and the paper's model relies on the sinusoids: so they are added by default. A token's position is that in the
encoder's sequence, padding included.
Missing modalities: a stream whose source is absent finds no keys, and its attention adds nothing: what is left is the
target's own tokens, on their way through the feed-forward blocks. An absent target's slot in h is zeros. With a single
modality in ``dims`` there are no pairs, and T is given x.

Diagnostics: ``attention/LAYER/SOURCE->TARGET`` (B, heads, L_α, L_β) and ``memory/LAYER/TARGET`` (B, heads, L_α, L_α),
the weights, when everything is asked for. No shares: each pair's attention sums to 1 by itself, and what follows mixes
the slots of h.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank, masked_mean
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.transformer import CrossLayer, SelfAttentionLayer, TokenEmbedding, check_at_least, check_heads


class MultFusion(Fusion):
    """Pairwise crossmodal transformers.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector and of the tokens given to heads.
        width: d, of the crossmodal transformers; None = half of ``out_dim``. The self-attention is (M - 1) times as
            wide, so that with three modalities and None it is as wide as ``out_dim``.
        num_layers: layers of each crossmodal transformer.
        memory_layers: layers of each target's self-attention transformer T.
        num_heads: attention heads; divides ``width``.
        ffn_ratio: width of the feed-forward blocks' middle, in multiples of the width around them.
        positions: add sinusoids to the tokens.
        read: which part of z_α goes on: the ``last`` real token, as in the paper, or the ``mean`` over real tokens.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights.

    Raises:
        ConfigError: ``num_heads`` does not divide ``width``, there are no layers, or ``read`` is something else.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        width: int | None = None,
        num_layers: Annotated[int, Range(1)] = 1,
        memory_layers: Annotated[int, Range(0)] = 1,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        positions: bool = True,
        read: Annotated[str, OneOf("last", "mean")] = "last",
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        width = out_dim // 2 if width is None else width
        check_heads(width, num_heads, "fusion.width")
        check_at_least(num_layers, 1, "num_layers")
        check_at_least(memory_layers, 0, "memory_layers")
        if read not in ("last", "mean"):
            raise ConfigError(f"fusion.read={read} must be 'last' or 'mean'.")
        self.positions = positions
        self.read = read
        wide = max(len(dims) - 1, 1) * width
        rest = (num_heads, ffn_ratio, dropout, attention_dropout, nn.ReLU)
        self.token_projection = nn.ModuleDict({m: nn.Linear(wide, out_dim) for m in dims})  # of enriched tokens
        self.embed = TokenEmbedding(dims, width, normalize, dropout)
        self.pairs = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {source: CrossmodalTransformer(width, num_layers, *rest) for source in dims if source != target}
                )
                for target in dims
            }
        )
        self.memory = nn.ModuleDict(
            {m: nn.ModuleList(SelfAttentionLayer(wide, *rest) for _ in range(memory_layers)) for m in dims}
        )
        self.norms = nn.ModuleDict({m: nn.LayerNorm(wide) for m in dims})
        joined = len(dims) * wide
        self.residual = nn.Sequential(
            nn.Linear(joined, joined), nn.ReLU(), nn.Dropout(dropout), nn.Linear(joined, joined)
        )
        self.out = nn.Linear(joined, out_dim)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if everything is asked for."""
        streams = self.embed(inputs)  # (B, L_m, d)
        if self.positions:
            streams = {m: x + sinusoids(x) for m, x in streams.items()}
        seen: dict[str, Tensor] | None = {} if diagnostics is True else None
        slots, tokens = [], {}
        for m, x in inputs.items():
            crossed = self._crossed(m, streams, inputs, seen)
            z, slot = self._remembered(m, crossed, x.mask, seen)
            slots.append(blank(slot, x.present))
            if self._emits_tokens:
                tokens[m] = blank(self.token_projection[m](z), x.mask)
        h = torch.cat(slots, 1)  # (B, M (M - 1) d)
        pooled = self.out(h + self.residual(h))
        return Fused(pooled, tokens, {m: inputs[m].mask for m in tokens}, diagnostics=seen or {})

    def _crossed(
        self, target: str, streams: Mapping[str, Tensor], inputs: Mapping[str, Encoded], seen: dict[str, Tensor] | None
    ) -> Tensor:
        """The target's tokens after the crossmodal transformers from all sources, side by side: (B, L_α, (M - 1) d)."""
        crossed = []
        for source, transformer in self.pairs[target].items():  # type: ignore[operator, union-attr]
            z, weights = transformer(streams[target], streams[source], inputs[source].mask, seen is not None)
            crossed.append(z)
            if seen is not None:
                seen |= {f"attention/{number}/{source}->{target}": w for number, w in enumerate(weights)}
        return torch.cat(crossed, 2) if crossed else streams[target]

    def _remembered(
        self, target: str, x: Tensor, mask: Tensor, seen: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """x (B, L_α, C), mask (B, L_α) -> z_α (B, L_α, C), or the one token that is read, and what is read, (B, C)."""
        layers: nn.ModuleList = self.memory[target]  # type: ignore[assignment]
        # an absent target has no keys: it attends to its own zeros (no NaN), and nothing reads it
        safe = mask | ~mask.any(1, keepdim=True)
        summary_only = self.read == "last" and not self._emits_tokens and seen is None
        for number, layer in enumerate(layers):
            query_tokens = last_real(x, mask) if summary_only and number == len(layers) - 1 else None
            x, weights = layer(x, safe, query_tokens, seen is not None)
            if seen is not None and weights is not None:
                seen[f"memory/{number}/{target}"] = weights
        z = self.norms[target](x)
        if self.read == "mean":
            return z, masked_mean(z, mask)
        return z, (z if summary_only and len(layers) else last_real(z, mask)).squeeze(1)


class CrossmodalTransformer(nn.Module):
    """Layers in which a target attends to one source's first tokens, and a norm.

    Args:
        width: d.
        num_layers: layers.
        *rest: further arguments of each layer.
    """

    def __init__(self, width: int, num_layers: int, *rest: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossLayer(width, *rest) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor, need_weights: bool) -> tuple[Tensor, list[Tensor]]:
        """x (B, Q, d), source (B, K, d), mask (B, K) -> (B, Q, d), and the weights of each layer if asked for."""
        seen = []
        for layer in self.layers:
            x, weights = layer(x, source, mask, need_weights)
            if weights is not None:
                seen.append(weights)
        return self.norm(x), seen


def sinusoids(like: Tensor) -> Tensor:
    """(L, d) for tokens (B, L, d), in their format: sin(i / 10000^(2j/d)) at 2j of place i, and cos at 2j + 1."""
    length, width = like.shape[1:]
    place = torch.arange(length, device=like.device, dtype=torch.float64 if like.dtype == torch.float64 else None)
    pair = torch.arange((width + 1) // 2, device=like.device, dtype=place.dtype)
    angle = place.unsqueeze(1) * torch.exp(pair * (-2 * math.log(10_000) / width))  # (L, ⌈d / 2⌉)
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :width].to(like.dtype)


def last_real(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, L, C), mask (B, L) -> (B, 1, C): each row's last token whose mask is True; the first if there is none."""
    place = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(1)  # (B,)
    return x.gather(1, place[:, None, None].expand(-1, 1, x.shape[2]))
