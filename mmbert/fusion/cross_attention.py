"""Cross-attention: each modality's tokens attend to the tokens of all the others.

    x_m  = W_m LN([v_m; tokens_m]) + e_m                    the pooled vector goes before its tokens, as their summary;
                                                            e_m is a modality embedding
    n times, all modalities at once:
        x_m ← x_m + MHA(q = LN(x_m), k = v = [LN(x_j)]_{j ≠ m})               only real tokens of the others
        x_m ← x_m + FFN(LN(x_m))                                              FFN = Linear, GELU, Linear
    z    = W_o [1/|P| Σ_{m ∈ P} LN(x_m at the summary)] + b_o,                P = the modalities that the sample has

Papers: attention, Vaswani et al. 2017, arXiv:1706.03762; layers in which one stream's queries meet another's keys and
values, Lu et al. 2019, "ViLBERT", arXiv:1908.02265, and Tsai et al. 2019, "MulT", arXiv:1906.00295. Differs from
them: any number of modalities, keys and values of all the others in one attention rather than pair by pair; norms
before the sublayers (Xiong et al. 2020, arXiv:2002.04745); no self-attention layers between; no position embedding, as
the encoders' tokens carry their own.
Missing modalities: their tokens are no keys, and their streams leave the mean. A token that finds no key at all (its
sample has one modality) skips the attention: it is left with the feed-forward path.

Diagnostics: ``attention/LAYER/MODALITY`` (B, heads, 1 + L_m, K), the weights; and two shares (B, M), of each modality:
    share/attention   what each modality is given: A_m(j), the weight that the summary of m gives to all of j's tokens
                      together, averaged over heads and layers, then over the modalities m that the sample has. A row
                      sums to 1. None attends to itself: of two modalities each has 1/2 by construction, of three at
                      most 2/3; a sample with one modality has a row of zeros.
    share/output      how much of z each stream makes: |W_o LN(x_m)| / Σ_{j ∈ P} |W_o LN(x_j)|. A row sums to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank, masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.cross_attention import CrossAttentionLayer
from mmbert.fusion.layers.projection import Projection


class CrossAttentionFusion(Fusion):
    """Token streams that attend to each other, pooled.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of tokens and of the fused vector.
        num_layers: how often the streams meet.
        num_heads: attention heads; divides ``out_dim``.
        normalize: layer norm on each modality's tokens before their projection.
        dropout: on projected tokens, in feed-forward blocks and on residual branches.
        attention_dropout: on attention weights; above 0 a CPU has no fused kernel and holds all weights in memory.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_layers: Annotated[int, Range(1)] = 1,
        num_heads: Annotated[int, Range(1)] = 4,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        attention_dropout: Annotated[float, Range(0, below=1)] = 0.0,
    ) -> None:
        super().__init__(dims, out_dim)
        if out_dim % num_heads:
            raise ConfigError(f"fusion.num_heads={num_heads} must divide fusion.out_dim={out_dim}.")
        self.token_projection = nn.ModuleDict()  # tokens leave enriched: the base's plain projection is not needed
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        self.embedding = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(out_dim)) for m in dims})
        met = list(dims) if len(dims) > 1 else []  # a modality on its own has nothing to attend to
        self.norms = nn.ModuleList(nn.ModuleDict({m: nn.LayerNorm(out_dim) for m in met}) for _ in range(num_layers))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {m: CrossAttentionLayer(out_dim, num_heads, dropout, attention_dropout, bool(met)) for m in dims}
            )
            for _ in range(num_layers)
        )
        self.final_norms = nn.ModuleDict({m: nn.LayerNorm(out_dim) for m in dims})
        self.out = nn.Linear(out_dim, out_dim)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``tokens`` (B, L_m, D_m) each -> Fused, with the header's diagnostics if asked for.

        ``diagnostics="shares"``: only those of shape (B, M), which cost one row of weights for each modality.
        """
        masks = {m: torch.cat([x.present.unsqueeze(1), x.mask], 1) for m, x in inputs.items()}  # (B, 1 + L_m)
        streams = {
            m: self.project[m](torch.cat([x.pooled.unsqueeze(1), x.tokens], 1), masks[m]) + self.embedding[m]
            for m, x in inputs.items()
        }
        seen: dict[str, Tensor] = {}
        looked: list[Tensor] = []  # (B, M) for each layer and modality
        everything = diagnostics is True
        # after the last layer only the summaries are read, unless tokens or weights are asked for
        summary_only_layer = None if self._emits_tokens or everything else len(self.layers) - 1
        for number, (norms, layers) in enumerate(zip(self.norms, self.layers, strict=True)):
            normed = {m: norms[m](x) if m in norms else x for m, x in streams.items()}  # type: ignore[operator, index]
            updated = {}
            for m, x in streams.items():
                others = torch.cat([normed[j] for j in streams if j != m] or [x[:, :0]], 1)
                mask = torch.cat([masks[j] for j in streams if j != m] or [masks[m][:, :0]], 1)
                query_tokens = slice(0, 1) if number == summary_only_layer else slice(None)
                # contiguous: torch.compile would take the strides of a slice for constants, whatever the length
                queries = x[:, query_tokens].contiguous(), normed[m][:, query_tokens].contiguous()
                updated[m], weights = layers[m](*queries, others, mask, everything)  # type: ignore[index]
                if diagnostics and len(streams) > 1:
                    weights_of_summary = layers[m].attention.summary_weights(queries[1], others, mask)  # type: ignore[index]
                    looked.append(blank(by_modality(weights_of_summary, masks, m), inputs[m].present))
                if weights is not None:
                    seen[f"attention/{number}/{m}"] = weights
            streams = updated
        summaries = torch.stack([self.final_norms[m](x[:, 0]) for m, x in streams.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        pooled = self.out(masked_mean(summaries, present))
        if diagnostics:
            if looked:
                total = torch.stack(looked).sum(0)  # (B, M)
                seen["share/attention"] = total / total.sum(1, keepdim=True).clamp(min=torch.finfo(total.dtype).tiny)
            sizes = blank(F.linear(summaries, self.out.weight).norm(dim=2), present)  # (B, M)
            seen["share/output"] = sizes / sizes.sum(1, keepdim=True).clamp(min=torch.finfo(sizes.dtype).tiny)
        if not self._emits_tokens:
            return Fused(pooled, diagnostics=seen)
        own = {m: x.mask for m, x in inputs.items()}
        tokens = {m: blank(x[:, 1:], own[m]) for m, x in streams.items()}
        return Fused(pooled, tokens, own, diagnostics=seen)


def by_modality(weights: Tensor, masks: Mapping[str, Tensor], query_tokens: str) -> Tensor:
    """weights (B, K) over the tokens of all modalities but one, in order -> (B, M): their sums; 0 for the one."""
    others = [m for m in masks if m != query_tokens]
    parts = dict(zip(others, weights.split([masks[m].shape[1] for m in others], 1), strict=True))
    return torch.stack([parts[m].sum(1) if m in parts else torch.zeros_like(weights[:, 0]) for m in masks], 1)
