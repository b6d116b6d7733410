"""Flamingo: one modality's transformer, with gated cross-attention to the other modalities between its layers.

    x    = [s; W_r LN(tokens_r) + b_r + e_r]                the reader r (text, as a rule) after a learnt start token s
    y    = [x_m]_{m ≠ r},  x_m = W_m LN(tokens_m) + b_m + e_m
    n times:
        x ← x + tanh(α) · Attention(q = LN(x), k = v = LN'(y))          only real tokens of the others
        x ← x + tanh(β) · FFN(LN(x))                                    FFN = Linear, squared ReLU, Linear
        x ← x + MSA(LN(x)),  x ← x + FFN'(LN(x))                        the reader's own layer; FFN' with GELU
    z    = W_o LN(x_s) + b_o

Paper: Alayrac et al. 2022, "Flamingo: a Visual Language Model for Few-Shot Learning", arXiv:2204.14198, the layers
"gated xattn-dense". There the gates α and β start at 0, so that at first a pretrained and frozen language model is left
as it was. Here nothing in the fusion is pretrained, and a gate at 0 would let the other modalities change nothing and
receive no gradient in the first step (only the gates would), so they start at ``gate_init`` = 0.5 by default;
``gate_init=0`` is the paper's. Differs from the paper also: the reader's layers are trained, and are bidirectional, for
the whole text is known; no perceiver resampler, the tokens are attended to directly; any number of other modalities,
all of them in one attention; no interleaved pictures, so no masks by the order of pictures and words; the start
token, whose place is real in every sample, and whose final state is the vector.
Missing modalities: tokens of the others that are not there are no keys, and where there is no key at all the attention
adds nothing, as the paper has it for words before the first picture. Where the reader is missing, the start
token is the only one and attends to the others.

Tokens, for heads that read them: the reader's own leave enriched; those of the others are projected, with the vector
added, as the base class does it, for nothing in this strategy changes them.

Diagnostics: ``gate/attention`` and ``gate/ffn`` (n,), tanh of α and β; ``attention/LAYER`` (B, heads, 1 + L_r, K), the
weights of the gated layers; and a share (B, M):
    share/attention   what the start token gives to all tokens of a modality, averaged over heads and layers. The
                      reader's is 0; a row sums to 1, and is zeros for a sample that has only the reader.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.cross_attention import by_modality
from mmbert.fusion.layers.shares import shares_of
from mmbert.fusion.layers.transformer import (
    CrossLayer,
    SelfAttentionLayer,
    SquaredReLU,
    TokenEmbedding,
    check_at_least,
    check_heads,
    with_first,
)


class GatedCrossLayer(CrossLayer):
    """A layer in which one sequence attends to another, each branch multiplied by a gate.

    Args:
        dim: width H of both.
        num_heads: heads; divides ``dim``.
        ffn_ratio: width of the feed-forward block's middle, in multiples of H.
        dropout: in the feed-forward block and on both residual branches.
        attention_dropout: on the attention weights.
        gate_init: α and β at the start.
    """

    def __init__(
        self, dim: int, num_heads: int, ffn_ratio: int, dropout: float, attention_dropout: float, gate_init: float
    ) -> None:
        super().__init__(dim, num_heads, ffn_ratio, dropout, attention_dropout, SquaredReLU)
        self.attention_gate = nn.Parameter(torch.tensor(float(gate_init)))
        self.ffn_gate = nn.Parameter(torch.tensor(float(gate_init)))

    def forward(self, x: Tensor, y: Tensor, mask: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """x (B, Q, H) attends to y (B, K, H), mask (B, K) -> (B, Q, H), and weights (B, heads, Q, K) if asked for."""
        attended, weights = self.attention(self.query_norm(x), self.key_norm(y), mask, need_weights)
        x = x + self.attention_gate.tanh() * self.dropout(attended)
        return x + self.ffn_gate.tanh() * self.dropout(self.ffn(self.ffn_norm(x))), weights


class FlamingoFusion(Fusion):
    """One modality's transformer, with gated cross-attention to the others.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        reader: name of the modality whose transformer this is; None = the first.
        num_layers: how often the reader looks at the others, each time before a layer of its own.
        gate_init: α and β at the start; 0 is the paper's.
        num_heads: attention heads; divides ``out_dim``.
        ffn_ratio: width of the feed-forward blocks' middle, in multiples of ``out_dim``.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``; no layers; or no modality is called ``reader``.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        reader: str | None = None,
        num_layers: Annotated[int, Range(1)] = 2,
        gate_init: float = 0.5,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_ratio: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        check_heads(out_dim, num_heads)
        check_at_least(num_layers, 1, "num_layers")
        if reader is not None and reader not in dims:
            raise ConfigError(f"fusion.reader={reader} is none of the modalities. {nearest(reader, dims)}")
        self.reader = next(iter(dims)) if reader is None else reader
        self.others = [m for m in dims if m != self.reader]
        sizes = (out_dim, num_heads, ffn_ratio, dropout, attention_dropout)
        del self.token_projection[self.reader]  # its tokens leave enriched
        self.embed = TokenEmbedding(dims, out_dim, normalize, dropout)
        self.start = nn.Parameter(0.02 * torch.randn(out_dim))
        self.looks = nn.ModuleList(GatedCrossLayer(*sizes, gate_init) for _ in range(num_layers if self.others else 0))
        self.layers = nn.ModuleList(SelfAttentionLayer(*sizes) for _ in range(num_layers))
        self.norm = nn.LayerNorm(out_dim)
        self.out = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if asked for."""
        streams = self.embed(inputs)
        own = streams[self.reader]
        x = torch.cat([self.start.expand(own.shape[0], 1, -1), own], 1)  # (B, 1 + L_r, H)
        mask = with_first(inputs[self.reader].mask)
        y = torch.cat([streams[m] for m in self.others] or [own[:, :0]], 1)  # (B, K, H)
        there = torch.cat([inputs[m].mask for m in self.others] or [mask[:, :0]], 1)
        seen: dict[str, Tensor] = {}
        looked: list[Tensor] = []  # (B, K) for each layer
        everything = diagnostics is True
        for number, layer in enumerate(self.layers):
            if self.others:
                look = self.looks[number]
                if diagnostics:
                    normed = look.query_norm(x[:, :1]), look.key_norm(y)  # type: ignore[operator]
                    looked.append(look.attention.summary_weights(*normed, there))  # type: ignore[union-attr, operator]
                x, weights = look(x, y, there, everything)
                if weights is not None:
                    seen[f"attention/{number}"] = weights
            # after the last layer only the start token is read, unless tokens are asked for
            summary_only = number == len(self.layers) - 1 and not self._emits_tokens
            # contiguous: torch.compile would take the strides of a slice for constants, whatever the length
            x, _ = layer(x, mask, x[:, :1].contiguous() if summary_only else None)
        x = self.norm(x)
        pooled = self.out(x[:, 0])
        if looked:
            seen["gate/attention"] = torch.stack([look.attention_gate.tanh() for look in self.looks])  # type: ignore[union-attr, operator, misc]
            seen["gate/ffn"] = torch.stack([look.ffn_gate.tanh() for look in self.looks])  # type: ignore[union-attr, operator, misc]
            present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
            masks = {m: x.mask for m, x in inputs.items()}
            seen["share/attention"] = shares_of(by_modality(torch.stack(looked).mean(0), masks, self.reader), present)
        if not self._emits_tokens:
            return Fused(pooled, diagnostics=seen)
        tokens = {
            m: blank(
                x[:, 1:] if m == self.reader else self.token_projection[m](given.tokens) + pooled.unsqueeze(1),
                given.mask,
            )
            for m, given in inputs.items()
        }
        return Fused(pooled, tokens, {m: given.mask for m, given in inputs.items()}, diagnostics=seen)
