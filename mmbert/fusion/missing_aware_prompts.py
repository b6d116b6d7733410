"""Missing-aware prompts: a transformer over all tokens with learnt prompt tokens for each set of missing modalities.

    x    = [c; v_1; tokens_1; …; v_M; tokens_M]     one sequence, projected to width H, a modality's embedding added;
                                                    v_m its vector, c a learnt token
    in each of the first D of N layers, with p the prompts of this layer for the sample's pattern of presence:
        x ← [p; x]
    in every layer:
        x ← x + MHA(LN(x));   x ← x + FFN(LN(x))    real tokens and prompts are keys
    z    = W_o LN(x at c) + b_o

Paper: Lee et al. 2023, "Multimodal Prompting with Missing Modalities for Visual Recognition", arXiv:2303.03369, its
input-level prompts: those of a layer join the sequence and stay in it, so that D layers make D · ``prompts`` of them.
Differs from it: the paper prompts a pretrained, frozen ViLT and learns the prompts and a classifier; no such backbone
is here, and the transformer is learnt with its prompts. Hence they cost little and gain less than in the paper, and
with only complete data they are a few more tokens. Its attention-level prompts are not here. Pooled at a token of its
own, not at the text's first. Any number M of modalities: the paper has M = 2 and three patterns; here there are
2^M - 1, and M is at most 8. A pattern that training never shows keeps its initial prompts, which are all alike at
first: see ``augment.modality_dropout``.
Missing modalities: the paper puts dummies in their place (an empty text, an image of ones); here their tokens are no
keys at all, and only the pattern's prompts represent it.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.cross_attention import CrossAttentionLayer
from mmbert.fusion.layers.projection import Projection

MAX_MODALITIES = 8


class MissingAwarePromptsFusion(Fusion):
    """One transformer over all tokens, prompted with the pattern of presence.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        num_layers: N.
        num_heads: attention heads; divides ``out_dim``.
        prompts: how many learnt tokens a layer adds; 0 = the transformer without them, to compare with.
        prompt_layers: D, the first layers that add some.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights; above 0 a CPU has no fused kernel and holds all weights in memory.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``, there are more prompted layers than layers, or more
            modalities than 8.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        prompts: Annotated[int, Range(0)] = 4,
        prompt_layers: Annotated[int, Range(0)] = 1,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        if out_dim % num_heads:
            raise ConfigError(f"fusion.num_heads={num_heads} must divide fusion.out_dim={out_dim}.")
        if not 0 <= prompt_layers <= num_layers:
            raise ConfigError(f"fusion.prompt_layers={prompt_layers} must be from 0 to num_layers={num_layers}.")
        if len(dims) > MAX_MODALITIES:
            raise ConfigError(
                f"missing_aware_prompts has prompts for 2^M - 1 patterns: M={len(dims)} is above {MAX_MODALITIES}."
            )
        self.token_projection = nn.ModuleDict()  # tokens leave enriched
        self.num_prompts = prompts
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        self.embedding = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(out_dim)) for m in dims})
        self.summary = nn.Parameter(0.02 * torch.randn(out_dim))
        # the same for all patterns at first: their differences are learnt
        first = 0.02 * torch.randn(prompt_layers, 1, prompts, out_dim)
        self.prompts = nn.Parameter(first.repeat(1, 2 ** len(dims) - 1, 1, 1)) if prompts and prompt_layers else None
        self.norms = nn.ModuleList(nn.LayerNorm(out_dim) for _ in range(num_layers))
        sizes = (out_dim, num_heads, dropout, attention_dropout, True)
        self.layers = nn.ModuleList(CrossAttentionLayer(*sizes) for _ in range(num_layers))
        self.final_norm = nn.LayerNorm(out_dim)
        self.out = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused."""
        masks = {m: torch.cat([x.present.unsqueeze(1), x.mask], 1) for m, x in inputs.items()}  # (B, 1 + L_m)
        streams = [
            self.project[m](torch.cat([x.pooled.unsqueeze(1), x.tokens], 1), masks[m]) + self.embedding[m]
            for m, x in inputs.items()
        ]
        size = streams[0].shape[0]
        x = torch.cat([self.summary.to(streams[0].dtype).expand(size, 1, -1), *streams], 1)  # (B, L, H)
        mask = torch.cat([torch.ones_like(masks[next(iter(masks))][:, :1]), *masks.values()], 1)
        pattern = pattern_of(torch.stack([one.present for one in inputs.values()], 1))  # (B,)
        added = 0
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            if self.prompts is not None and number < self.prompts.shape[0]:
                prompts = self.prompts[number][pattern].to(x.dtype)  # (B, prompts, H)
                x = torch.cat([prompts, x], 1)
                mask = torch.cat([torch.ones_like(mask[:, :1]).expand(-1, self.num_prompts), mask], 1)
                added += self.num_prompts
            normed = norm(x)
            x, _ = layer(x, normed, normed, mask, False)
        x = x[:, added:]
        pooled = self.out(self.final_norm(x[:, 0]))
        if not self._emits_tokens:
            return Fused(pooled)
        parts = x[:, 1:].split([mask.shape[1] for mask in masks.values()], 1)
        own = {m: one.mask for m, one in inputs.items()}
        tokens = {m: blank(part[:, 1:], own[m]) for m, part in zip(inputs, parts, strict=True)}
        return Fused(pooled, tokens, own)


def pattern_of(present: Tensor) -> Tensor:
    """present (B, M) bool -> (B,) int64 from 0 to 2^M - 2: the number whose binary digits they are, less 1."""
    weights = 2 ** torch.arange(present.shape[1], device=present.device)
    # no sample without any modality is ever passed here; it would get the first pattern, not an index of -1
    return ((present * weights).sum(1) - 1).clamp(min=0)
