"""MAG: the other modalities shift the hidden states of a text encoder between two of its layers.

For the hidden state Z of each word, V_m being the vector of modality m for that word and [;] concatenation:
    g_m = ReLU(W_gm [Z; V_m] + b_gm)                                          the gate of each modality
    H   = Σ_{m ∈ P} g_m ⊙ (W_m V_m) + b_H                                     the displacement
    Z'  = Dropout(LN(Z + α H)),   α = min(β |Z| / |H|, 1)                     norms over the width; |H| at least 1e-6
and the layers above go on with Z'. Of what they give, z = W_o LN(vector of the text) + b_o.

Paper: Rahman et al. 2020, "Integrating Multimodal Information in Large Pretrained Transformers" (MAG-BERT),
arXiv:1908.05787. Any number of modalities besides the text; with two they are the paper's visual and acoustic.
Differs from it:
    the words   the paper's sequences are aligned word by word. ``words=aligned`` takes token i for word i, with equal
                lengths, and is the paper's formula. Where they are not aligned, ``words=attention`` lets each word
                attend to the tokens of m, V_m = Σ_j softmax_j((W_q Z) · (W_k x_j) / sqrt(A)) x_j, and ``words=pooled``
                gives every word the vector of m
    the end     the paper's classifier reads the first token; here the encoder's own pooling, a layer norm and W_o
Missing modalities: P are those that the sample has (with ``aligned``: whose token at that word is real); without any,
H = 0. A sample without text has no words: its z is that of the displacement of Z = 0 with α = 1.
Without an encoder (the tokens passed to ``fuse`` are not ``injected``, as when the strategy is used by itself), the
gate acts on the text's vector as if that were a word after the last layer. In both cases V_m is the vector of m where
``words=aligned``, for there is no word to align with.

Scale: Z + αH has at most (1 + β)|Z|, and the norm brings it to order 1; W_o is of variance 1/(3 D).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.injection import LayerInjection
from mmbert.core.masks import blank, masked_softmax
from mmbert.core.ranges import OneOf, Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion

WORDS = ("attention", "pooled", "aligned")


class AdaptationGate(nn.Module):
    """Z -> Z', for all words at once.

    Args:
        dim: width D of the words.
        others: width of each other modality, by name.
        beta: β, how far a word may be shifted, in its own length.
        words: how each word gets its vector of a modality: ``attention``, ``pooled`` or ``aligned``.
        attention_dim: A.
        dropout: on Z'.
    """

    def __init__(
        self, dim: int, others: Mapping[str, int], beta: float, words: str, attention_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.beta, self.words, self.scale = beta, words, attention_dim**-0.5
        self.gate = nn.ModuleDict({m: nn.Linear(dim + d, dim) for m, d in others.items()})
        self.shift = nn.ModuleDict({m: nn.Linear(d, dim, bias=False) for m, d in others.items()})
        self.bias = nn.Parameter(torch.zeros(dim)) if others else None
        attends = others if words == "attention" else {}
        self.query = nn.ModuleDict({m: nn.Linear(dim, attention_dim, bias=False) for m in attends})
        self.key = nn.ModuleDict({m: nn.Linear(d, attention_dim, bias=False) for m, d in attends.items()})
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor, others: Mapping[str, Encoded]) -> Tensor:
        """hidden (B, L, D), mask (B, L) bool -> (B, L, D); a sample without a word is shifted from 0 with α = 1."""
        values_at_words = {m: self.to_words(m, hidden, others[m]) for m in self.gate}
        return self.shifted(hidden, mask.any(1), values_at_words)

    def shifted(self, hidden: Tensor, has_text: Tensor, values_at_words: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Z' from each V_m (B, L, D_m) and where there is one, (B, L) bool; has_text (B,) bool."""
        moved = hidden
        if self.bias is not None:
            displacement = self.displacement(hidden, values_at_words)
            size = displacement.norm(dim=-1, keepdim=True).clamp(min=1e-6)
            alpha = (self.beta * hidden.norm(dim=-1, keepdim=True) / size).clamp(max=1)
            alpha = torch.where(has_text[:, None, None], alpha, torch.ones_like(alpha))
            moved = hidden + alpha * displacement
        out: Tensor = self.dropout(self.norm(moved))
        return out

    def displacement(self, hidden: Tensor, values_at_words: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """H (B, L, D)."""
        assert self.bias is not None
        total, any_there = torch.zeros_like(hidden), torch.zeros_like(hidden[..., 0], dtype=torch.bool)
        for m, (values, there) in values_at_words.items():
            values = values.to(hidden.dtype)
            gate = F.relu(self.gate[m](torch.cat([hidden, values], -1)))
            total = total + blank(gate * self.shift[m](values), there)
            any_there = any_there | there
        return total + blank(self.bias.to(total.dtype).expand_as(total), any_there)

    def to_words(self, name: str, hidden: Tensor, x: Encoded) -> tuple[Tensor, Tensor]:
        """V (B, L, D_m) of one modality, and where there is one, (B, L) bool."""
        size, length = hidden.shape[:2]
        if self.words == "aligned":
            if x.tokens.shape[1] != length:
                raise InputError(
                    f"words=aligned wants a token of '{name}' for each word, but there are {x.tokens.shape[1]} for "
                    f"{length}. Use words=attention."
                )
            return x.tokens, x.mask
        there = x.present.unsqueeze(1).expand(size, length)
        if self.words == "pooled":
            return x.pooled.unsqueeze(1).expand(size, length, -1), there
        scores = self.query[name](hidden) @ self.key[name](x.tokens.to(hidden.dtype)).mT  # (B, L, L_m)
        allowed = x.mask.unsqueeze(1).expand_as(scores)
        weights = masked_softmax(scores * self.scale, allowed)
        return weights @ x.tokens.to(weights.dtype), there


class MAGFusion(Fusion):
    """Layer injection into a text encoder by a multimodal adaptation gate. Diagnostics: none.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        into: the encoder whose hidden states are shifted.
        layer: the states that enter this layer are shifted; 0 = the first, after the embeddings.
        beta: see ``AdaptationGate``.
        words: see ``AdaptationGate``.
        attention_dim: width of queries and keys with ``words=attention``.
        dropout: on the shifted states.

    Raises:
        ConfigError: there is no encoder ``into``, or an option is unknown.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        into: str = "text",
        layer: Annotated[int, Range(0)] = 0,
        beta: Annotated[float, Range(above=0)] = 1.0,
        words: Annotated[str, OneOf("attention", "pooled", "aligned")] = "attention",
        attention_dim: Annotated[int, Range(1)] = 64,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if into not in dims:
            raise ConfigError(f"fusion.into={into} is no encoder of this model. {nearest(into, dims)}")
        if words not in WORDS:
            raise ConfigError(f"fusion.words={words} is unknown. {nearest(words, WORDS)}")
        if not beta > 0:
            raise ConfigError(f"fusion.beta={beta} must be above 0.")
        self.injects_into, self.layer = into, layer
        others = {m: d for m, d in dims.items() if m != into}
        self.gate = AdaptationGate(dims[into], others, beta, words, attention_dim, dropout)
        self.final_norm = nn.LayerNorm(dims[into])
        self.out = nn.Linear(dims[into], out_dim)

    def injection(self, others: dict[str, Encoded]) -> LayerInjection:
        """The gate, and the other modalities with zeros where nothing is real."""
        clean = {m: Encoded(blank(x.tokens, x.mask), x.mask, blank(x.pooled, x.present)) for m, x in others.items()}
        return LayerInjection(self.layer, clean, self.gate)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H); the text's vector is not shifted again if it is ``injected``."""
        assert self.injects_into is not None
        text = inputs[self.injects_into]
        word = text.pooled.unsqueeze(1)  # (B, 1, D)
        values_at_words = {}
        for m, x in inputs.items():
            if m != self.injects_into:
                one = x.pooled.unsqueeze(1), x.present.unsqueeze(1)
                values_at_words[m] = one if self.gate.words == "aligned" else self.gate.to_words(m, word, x)
        shifted = self.gate.shifted(word, text.present, values_at_words).squeeze(1)  # (B, D)
        vector = torch.where(text.present.unsqueeze(1), text.pooled, shifted) if text.injected else shifted
        fused: Tensor = self.out(self.final_norm(vector))
        return fused
