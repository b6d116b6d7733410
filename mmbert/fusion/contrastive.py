"""Contrastive: an InfoNCE loss aligns the modalities of each sample before any other strategy fuses them.

    h_m   = W_m LN(x_m) + b_m                             tokens and vector alike; the base strategy fuses these
    e_m   = A_m h_m / |A_m h_m|                           of the vector, in the space of the alignment
    L_mj  = mean over samples i that have both of  -log [exp(e_m,i · e_j,i / τ) / Σ_k exp(e_m,i · e_j,k / τ)]
    L     = mean over pairs {m, j} of (L_mj + L_jm) / 2,  times ``align_weight``, in training only

k runs over all samples of the batch that have j, τ is learned and kept within [0.001, 0.5]. In distributed training
the batch is that of all processes, and gradients flow between them.

Papers: Li et al. 2021, "Align before Fuse" (ALBEF), arXiv:2107.07651, (1) and (2); the loss is InfoNCE, van den Oord
et al. 2018, arXiv:1807.03748, in both directions as of Radford et al. 2021, "CLIP", arXiv:2103.00020. Differs from
ALBEF: no momentum encoders, so no queue of further negatives and no momentum distillation; no matching and no masked
language loss; any number of modalities; the projection W, so that there is something to align where encoders are
frozen; any strategy of the package as the fusion. Missing modalities: a sample without m or j is no pair of the two,
and one without j no negative; pairs of modalities that no sample of the batch has leave the mean, and without any the
loss is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision, precise
from mmbert.fusion.layers.all_gather import gather_rows, world_size
from mmbert.fusion.layers.projection import Projection
from mmbert.fusion.nested import build_base

COLDEST, WARMEST = 0.001, 0.5


class ContrastiveFusion(Fusion):
    """Contrastive alignment, then a strategy of the package.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of projections and of the fused vector.
        base: which strategy fuses, by the name of its file.
        base_options: its options besides ``dims`` and ``out_dim``; None = its defaults.
        align_dim: width of the space of the alignment.
        align_weight: factor on the loss.
        temperature: τ at the beginning, within [0.001, 0.5].
        normalize: layer norm on each modality's vectors first.
        dropout: on each modality's vectors.

    Raises:
        ConfigError: there is no such base or option of it, or a number lies outside its range.
    """

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        base: str = "cross_attention",
        base_options: Mapping[str, Any] | None = None,
        align_dim: int = 64,
        align_weight: float = 1.0,
        temperature: float = 0.07,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if not COLDEST <= temperature <= WARMEST:
            raise ConfigError(f"fusion.temperature={temperature} must lie between {COLDEST} and {WARMEST}.")
        if not align_weight >= 0:
            raise ConfigError(f"fusion.align_weight={align_weight} must not be negative.")
        self.token_projection = nn.ModuleDict()  # the base has its own
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        self.base = build_base(base, dict.fromkeys(dims, out_dim), out_dim, base_options)
        self.reads_tokens = self.base.reads_tokens  # type: ignore[misc]
        self.views = self.base.views
        self._has_diagnostics = self.base.has_diagnostics
        self.align_weight = align_weight
        aligned = align_weight > 0 and len(dims) > 1  # a modality on its own has nothing to be aligned with
        self.align = nn.ModuleDict({m: nn.Linear(out_dim, align_dim, bias=False) for m in dims} if aligned else {})
        self.temperature = nn.Parameter(torch.tensor(float(temperature))) if aligned else None

    def drop_tokens(self) -> None:
        """Drops the tokens of the base strategy too."""
        super().drop_tokens()
        self.base.drop_tokens()

    def decision(self, spec: OutputSpec) -> Decision:
        """The decision of the base strategy."""
        return self.base.decision(spec)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """Encoded with ``tokens`` (B, L_m, D_m) and ``pooled`` (B, D_m) each -> the base's Fused, and the loss."""
        projected = {m: self._projected(m, x) for m, x in inputs.items()}
        fused: Fused = self.base(projected, diagnostics)
        if not (self.training and self.temperature is not None):
            return fused
        loss = self.align_weight * self._alignment(projected)
        return replace(fused, auxiliary_losses={**fused.auxiliary_losses, "alignment": loss})

    def _projected(self, m: str, x: Encoded) -> Encoded:
        pooled = self.project[m](x.pooled, x.present)
        if self.base.reads_tokens or self._emits_tokens:
            return Encoded(self.project[m](x.tokens, x.mask), x.mask, pooled)
        return Encoded(pooled.unsqueeze(1), x.present.unsqueeze(1), pooled)

    def _alignment(self, projected: Mapping[str, Encoded]) -> Tensor:
        """L of the header, without its weight."""
        assert self.temperature is not None
        raw = torch.stack([self.align[m](x.pooled) for m, x in projected.items()], 1)
        vectors = F.normalize(precise(raw), dim=-1)  # (B, M, E)
        present = torch.stack([x.present for x in projected.values()], 1)
        return alignment_loss(vectors, present, self.temperature.clamp(COLDEST, WARMEST))


def alignment_loss(vectors: Tensor, present: Tensor, temperature: Tensor) -> Tensor:
    """This process's part of L of the header, a sum over the samples of all W processes, times W.

    Distributed training averages gradients over processes: that gives the gradient of the whole batch's loss.

    Args:
        vectors: (B, M, E), each of length 1.
        present: (B, M) bool.
        temperature: τ, a scalar.

    Returns:
        A scalar; 0 with a graph if no sample has two modalities.
    """
    everyone, begin = gather_rows(vectors)  # (N, M, E)
    there = gather_rows(present.to(vectors.dtype))[0] > 0  # (N, M)
    own = torch.arange(vectors.shape[0], device=vectors.device) + begin
    pairs = list(combinations(range(vectors.shape[1]), 2))
    total = vectors.new_zeros(())
    occurring = sum((there[:, m] & there[:, j]).any().to(vectors.dtype) for m, j in pairs)
    with torch.autocast(vectors.device.type, enabled=False):  # similarities over 0.07 are too coarse in half precision
        for m, j in [*pairs, *((j, m) for m, j in pairs)]:
            similar = vectors[:, m] @ everyone[:, j].T / temperature.to(vectors.dtype)  # (B, N)
            # the lowest number rather than -inf: a row without any candidate would have a gradient of NaN
            candidates = similar.masked_fill(~there[:, j], torch.finfo(similar.dtype).min)
            lost = candidates.logsumexp(1) - similar.gather(1, own.unsqueeze(1)).squeeze(1)
            both = present[:, m] & present[:, j]
            count = (there[:, m] & there[:, j]).sum().clamp(min=1)
            total = total + blank(lost, both).sum() / (2 * count)
    return total * world_size() / torch.as_tensor(occurring, device=total.device).clamp(min=1)
