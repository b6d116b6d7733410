"""Attention bottlenecks: a transformer for each modality; information passes only through a few shared tokens.

    x_m  = [c_m; W_m LN(tokens_m) + b_m + e_m]              c_m a learnt CLS token of each modality
    layers 0 … L_f - 1:     x_m ← T_m(x_m)                  each modality by itself
    layers L_f … L - 1:     [x_m; f_m] ← T_m([x_m; f])      all modalities from the same bottleneck f (K, H),
                            f ← 1/|P| Σ_{m ∈ P} f_m         and then the average of their updates
    z    = W_o [1/|P| Σ_{m ∈ P} LN(c_m)] + b_o,             P = the modalities that the sample has
    T(x) = x' + FFN(LN(x')),  x' = x + MSA(LN(x))           with weights of its own in each layer and modality

Paper: Nagrani et al. 2021, "Attention Bottlenecks for Multimodal Fusion" (MBT), arXiv:2107.00135, equations 8 and 9,
with separate weights; its classifier reads each CLS token and averages the logits, which is the same as a linear head
on the average of the tokens. Differs from it: any number of modalities (with two it is the paper's); the tokens come
from encoders and carry their positions; random rather than ViT weights at the start; W_o. The bottleneck of the paper
is of 4 tokens; the authors' code has one more when there are CLS tokens. No stochastic depth, no mixup.
Missing modalities: they update no bottleneck and leave the mean. With a single modality in ``dims`` there is nothing to
exchange and no bottleneck, as in the authors' code.

Costs grow with Σ_m L_m², not with (Σ_m L_m)²: the tokens of one modality never meet those of another.

Diagnostics: ``attention/LAYER/MODALITY`` (B, heads, N, N), the weights, over the bottleneck (from L_f on), CLS and
tokens in this order; and a share (B, M):
    share/output      how much of z each CLS makes: |W_o LN(c_m)| / Σ_{j ∈ P} |W_o LN(c_j)|. A row sums to 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank, masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.shares import shares_of
from mmbert.fusion.layers.transformer import SelfAttentionLayer, TokenEmbedding, check_at_least, check_heads, with_first


class BottleneckFusion(Fusion):
    """A transformer for each modality; late layers share bottleneck tokens.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        num_layers: layers L of each modality's transformer.
        fusion_layer: L_f, the first layer (counted from 0) with the bottleneck.
        num_bottlenecks: bottleneck tokens K.
        num_heads: attention heads; divides ``out_dim``.
        ffn_ratio: width of the feed-forward blocks' middle, in multiples of ``out_dim``.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``; there are no layers or bottlenecks; ``fusion_layer`` is
            none of the layers.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_layers: Annotated[int, Range(1)] = 3,
        fusion_layer: Annotated[int, Range(0)] = 1,
        num_bottlenecks: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        check_heads(out_dim, num_heads)
        check_at_least(num_layers, 1, "num_layers")
        check_at_least(num_bottlenecks, 1, "num_bottlenecks")
        if not 0 <= fusion_layer < num_layers:
            raise ConfigError(
                f"fusion.fusion_layer={fusion_layer} must be one of the layers 0 to {num_layers - 1}: in none of "
                f"fusion.num_layers={num_layers} would the modalities meet."
            )
        self.fusion_layer = fusion_layer
        self.token_projection = nn.ModuleDict()  # tokens leave enriched: the base's plain projection is not needed
        self.embed = TokenEmbedding(dims, out_dim, normalize, dropout)
        self.cls = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(out_dim)) for m in dims})
        self.bottleneck = nn.Parameter(0.02 * torch.randn(num_bottlenecks, out_dim)) if len(dims) > 1 else None
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {m: SelfAttentionLayer(out_dim, num_heads, ffn_ratio, dropout, attention_dropout) for m in dims}
            )
            for _ in range(num_layers)
        )
        self.norms = nn.ModuleDict({m: nn.LayerNorm(out_dim) for m in dims})
        self.out = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if asked for."""
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        batch = present.shape[0]
        streams = {m: torch.cat([self.cls[m].expand(batch, 1, -1), x], 1) for m, x in self.embed(inputs).items()}
        masks = {m: with_first(x.mask) for m, x in inputs.items()}  # (B, 1 + L_m): CLS is always there
        first = 0  # the place of CLS: after the bottleneck, once there is one
        seen: dict[str, Tensor] = {}
        everything = diagnostics is True
        for number, layers in enumerate(self.layers):
            if self.bottleneck is not None and number == self.fusion_layer:
                first = self.bottleneck.shape[0]
                shared = self.bottleneck.expand(batch, -1, -1)
                streams = {m: torch.cat([shared, x], 1) for m, x in streams.items()}
                masks = {m: F.pad(mask, (first, 0), value=True) for m, mask in masks.items()}
            last = number == len(self.layers) - 1
            # after the last layer only CLS is read, unless tokens or weights are asked for
            summary_only = last and not self._emits_tokens and not everything
            for m, x in streams.items():
                # contiguous: torch.compile would take the strides of a slice for constants, whatever the length
                query_tokens = x[:, first : first + 1].contiguous() if summary_only else None
                streams[m], weights = layers[m](x, masks[m], query_tokens, everything)  # type: ignore[index]
                if weights is not None:
                    seen[f"attention/{number}/{m}"] = weights
            if first and not last:
                streams = average_bottlenecks(streams, first, present)
            first = 0 if summary_only else first
        normed = {m: self.norms[m](x[:, first:]) for m, x in streams.items()}
        summaries = torch.stack([x[:, 0] for x in normed.values()], 1)  # (B, M, H)
        pooled = self.out(masked_mean(summaries, present))
        if diagnostics:
            seen["share/output"] = shares_of(F.linear(summaries, self.out.weight).norm(dim=2), present)
        if not self._emits_tokens:
            return Fused(pooled, diagnostics=seen)
        own = {m: x.mask for m, x in inputs.items()}
        return Fused(pooled, {m: blank(x[:, 1:], own[m]) for m, x in normed.items()}, own, diagnostics=seen)


def average_bottlenecks(streams: dict[str, Tensor], count: int, present: Tensor) -> dict[str, Tensor]:
    """The first ``count`` places of each stream (B, N_m, H) become their mean over the modalities present (B, M)."""
    updates = torch.stack([x[:, :count] for x in streams.values()], 1)  # (B, M, K, H)
    shared = masked_mean(updates.flatten(2), present).unflatten(1, (count, -1))  # (B, K, H)
    return {m: torch.cat([shared, x[:, count:]], 1) for m, x in streams.items()}
