"""Reconstruction: a missing modality's vector is predicted from the present ones, and the completed set is fused.

    h_m  = W_m LN(v_m) + b_m,   x = [h_1; …; h_M] with zeros for what a sample lacks            (B, M · H)
    x̂    = U (x + Σ_k Δ_k) + c,   Δ_k = D_k ReLU(E_k (x + Σ_{l < k} Δ_l))          k = 1 … num_blocks
    ĥ_m  = the m-th part of x̂;   the base strategy fuses h_m where m is present, ĥ_m where it is missing
    L    = mean over present m, of samples with another one, of |ĥ_m(x without m) - stop(h_m)|² / H;
           in training only, times ``reconstruction_weight``

stop = no gradient; with it both sides would collapse to a constant.

Papers: Zhao et al. 2021, "Missing Modality Imagination Network for Emotion Recognition with Uncertain Missing
Modalities" (MMIN), ACL: a cascade of residual autoencoders (Tran et al. 2017, CVPR) imagines what is missing, taught by
hiding what is present; and, for the aim, Ma et al. 2021, "SMIL", arXiv:2103.05677. Differs from MMIN: each present
modality is hidden in turn rather than by sampled conditions; targets are this model's own projections rather than those
of one trained before; no backward imagination with its cycle loss; the completed set is fused, by any strategy
of the package, rather than the autoencoders' hidden layers. From SMIL: no priors by clustering and no meta-learning.

With all modalities present this is the base strategy on projections. It learns to read imagined modalities only from
samples that lack some, so train on such, or with augment=standard, which takes modalities away. A sample with a single
modality, and a model of one, give no loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision
from mmbert.fusion.layers.projection import Projection
from mmbert.fusion.nested import build_base


class Imagination(nn.Module):
    """A cascade of residual autoencoders that predicts all modalities' vectors from the present ones.

    Args:
        modalities: M.
        dim: width H of each.
        num_blocks: autoencoders in the cascade.
        hidden_dim: width of their middle.
    """

    def __init__(self, modalities: int, dim: int, num_blocks: int, hidden_dim: int) -> None:
        super().__init__()
        width = modalities * dim
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, width))
            for _ in range(num_blocks)
        )
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor, present: Tensor) -> Tensor:
        """values (B, M, H), present (B, M) bool -> (B, M, H), what is imagined from the present ones."""
        x = blank(values, present).flatten(1)
        for block in self.blocks:
            x = x + block(x)
        imagined: Tensor = self.out(x).unflatten(1, values.shape[1:])
        return imagined


class ReconstructionFusion(Fusion):
    """Reconstructs the vectors of missing modalities, then fuses all of them.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of projections and of the fused vector.
        base: which strategy fuses, by the name of its file; it is given one token a modality.
        base_options: its options besides ``dims`` and ``out_dim``; None = its defaults.
        num_blocks: autoencoders in the cascade, at least 1.
        hidden_dim: width of their middle.
        reconstruction_weight: factor on the loss, above 0: with complete data nothing else trains the autoencoders.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: there is no such base or option of it, or a number lies outside its range.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        base: str = "concat",
        base_options: Mapping[str, Any] | None = None,
        num_blocks: Annotated[int, Range(1)] = 3,
        hidden_dim: Annotated[int, Range(1)] = 64,
        reconstruction_weight: float = 1.0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if num_blocks < 1 or hidden_dim < 1:
            raise ConfigError(
                f"fusion.num_blocks={num_blocks} and fusion.hidden_dim={hidden_dim} must be at least 1 each."
            )
        if not reconstruction_weight > 0:
            raise ConfigError(f"fusion.reconstruction_weight={reconstruction_weight} must be above 0.")
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})
        several = len(dims) > 1
        self.imagination = Imagination(len(dims), out_dim, num_blocks, hidden_dim) if several else None
        self.reconstruction_weight = reconstruction_weight
        self.base = build_base(base, dict.fromkeys(dims, out_dim), out_dim, base_options)
        self.base.drop_tokens()  # an imagined modality has no positions: tokens are the plain ones
        self.views = self.base.views
        self._has_diagnostics = self.base.has_diagnostics

    def decision(self, spec: OutputSpec) -> Decision:
        """The decision of the base strategy, for which a reconstructed modality is present."""
        return self.base.decision(spec)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> the base's Fused without tokens, and the loss."""
        values = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        complete = values
        if self.imagination is not None:
            complete = torch.where(present.unsqueeze(-1), values, self.imagination(values, present).to(values.dtype))
        everywhere = torch.ones_like(present)
        given = {
            m: Encoded(complete[:, i : i + 1], everywhere[:, i : i + 1], complete[:, i]) for i, m in enumerate(inputs)
        }
        fused: Fused = self.base(given, diagnostics)
        if not (self.training and self.imagination is not None):
            return fused
        loss = self.reconstruction_weight * imagination_loss(self.imagination, values, present)
        return replace(fused, auxiliary_losses={**fused.auxiliary_losses, "reconstruction": loss})


def imagination_loss(imagination: Imagination, values: Tensor, present: Tensor) -> Tensor:
    """L of the header, without its weight: values (B, M, H), present (B, M) -> a scalar, 0 if nothing can be hidden."""
    total, count = values.new_zeros(()), present.new_zeros((), dtype=torch.long)
    for m in range(values.shape[1]):
        left = present.clone()
        left[:, m] = False
        hidden = present[:, m] & left.any(1)  # there, and something to imagine it from
        missed = (imagination(values, left)[:, m] - values[:, m].detach()).float().square().mean(1)
        total = total + blank(missed, hidden).sum()
        count = count + hidden.sum()
    return total / count.clamp(min=1)
