"""Single stream: one transformer over the tokens of all modalities at once.

    x    = [c; x_1; …; x_M],  x_m = W_m LN(tokens_m) + b_m + e_m        c a learnt CLS token, e_m a modality embedding
    n times:
        x ← x + MSA(LN(x))                  every token attends to every real token of any modality
        x ← x + FFN(LN(x))                  FFN = Linear, GELU, Linear
    z    = tanh(W_o LN(x_c) + b_o)

Papers: Kim et al. 2021, "ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision",
arXiv:2102.03334 (modality embeddings, pre-norm layers, tanh of a projection of the CLS token); Kiela et al. 2019,
"Supervised Multimodal Bitransformers for Classifying Images and Text", arXiv:1909.02950 (MMBT: a text transformer that
is given projected image tokens). Differs from them: any number of modalities; the tokens come from encoders and carry
their positions, so none are added; the layers start from random weights, not from a ViT or a BERT; ViLT's objectives
of pre-training are not here.
Missing modalities: their tokens are no keys; CLS always is one.

Diagnostics: ``attention/LAYER`` (B, heads, N, N), the weights, N = 1 + L_1 + … + L_M; and a share (B, M):
    share/attention   what CLS gives to all tokens of a modality, averaged over heads and layers, without what it gives
                      to itself; a row sums to 1.
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
from mmbert.fusion.layers.transformer import SelfAttentionLayer, TokenEmbedding, check_at_least, check_heads, with_first


class SingleStreamFusion(Fusion):
    """One transformer over the tokens of all modalities.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        num_layers: transformer layers.
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
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        check_heads(out_dim, num_heads)
        check_at_least(num_layers, 1, "num_layers")
        self.token_projection = nn.ModuleDict()  # tokens leave enriched: the base's plain projection is not needed
        self.embed = TokenEmbedding(dims, out_dim, normalize, dropout)
        self.cls = nn.Parameter(0.02 * torch.randn(out_dim))
        self.layers = nn.ModuleList(
            SelfAttentionLayer(out_dim, num_heads, ffn_ratio, dropout, attention_dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(out_dim)
        self.out = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if asked for."""
        streams = self.embed(inputs)
        cls = self.cls.expand(next(iter(streams.values())).shape[0], 1, -1)
        x = torch.cat([cls, *streams.values()], 1)  # (B, N, H)
        mask = with_first(torch.cat([x.mask for x in inputs.values()], 1))  # (B, N)
        lengths = [x.mask.shape[1] for x in inputs.values()]
        seen: dict[str, Tensor] = {}
        looked: list[Tensor] = []  # (B, N) for each layer
        everything = diagnostics is True
        for number, layer in enumerate(self.layers):
            if diagnostics:
                looked.append(layer.weights_of(x, mask, x[:, :1]))  # type: ignore[operator]
            # after the last layer only CLS is read, unless tokens or weights are asked for
            summary_only = number == len(self.layers) - 1 and not self._emits_tokens and not everything
            # contiguous: torch.compile would take the strides of a slice for constants, whatever the length
            x, weights = layer(x, mask, x[:, :1].contiguous() if summary_only else None, everything)
            if weights is not None:
                seen[f"attention/{number}"] = weights
        if diagnostics:
            present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
            of_cls = torch.stack(looked).mean(0)[:, 1:]
            seen["share/attention"] = shares_of(attention_by_modality(of_cls, lengths), present)
        x = self.norm(x)
        pooled = self.out(x[:, 0]).tanh()
        if not self._emits_tokens:
            return Fused(pooled, diagnostics=seen)
        masks = {m: x.mask for m, x in inputs.items()}
        parts = dict(zip(inputs, x[:, 1:].split(lengths, 1), strict=True))
        return Fused(pooled, {m: blank(parts[m], masks[m]) for m in masks}, masks, diagnostics=seen)
