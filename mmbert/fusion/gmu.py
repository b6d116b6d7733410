"""Gated multimodal unit: tanh of each modality, weighted element by element by gates that read all of them.

    x_m = LN(v_m),   h_m = tanh(W_m x_m)

    two modalities   z = σ(W_z [x_1; x_2]),            h = z ⊙ h_1 + (1 - z) ⊙ h_2         one gate, shared
    any other M      z_m = σ(W_zm [x_1; …; x_M]),      h = Σ_{m ∈ P} z_m ⊙ h_m             a gate for each

P = the modalities that the sample has; as in the paper there are no biases.

Paper: Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", arXiv:1702.01992: its bimodal
unit and its unit for more modalities. Differs from it: the layer norm (the authors' code has a batch norm and a linear
layer before the unit). Missing modalities: their slots in the concatenation are zeros, which the gates can see, and
their terms leave the sum. Of two modalities the one that is left has the gate 1, as the two gates sum to 1.

Diagnostics: ``gate`` (B, M, H), of two modalities z and 1 - z; 0 where a modality is absent.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion


class GMUFusion(Fusion):
    """Gated sum of the squashed modalities.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
        self.dropout = nn.Dropout(dropout)
        self.value = nn.ModuleDict({m: nn.Linear(d, out_dim, bias=False) for m, d in dims.items()})
        gates = 1 if len(dims) == 2 else len(dims)
        self.gate = nn.Linear(sum(dims.values()), gates * out_dim, bias=False)

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> (B, H)."""
        slots = {m: blank(self.dropout(self.norms[m](x.pooled)), x.present) for m, x in inputs.items()}
        values = torch.stack([self.value[m](x).tanh() for m, x in slots.items()], 1)  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        gates = self._gates(torch.cat(list(slots.values()), 1), present)  # (B, M, H)
        pooled = (gates * values).sum(1)
        return Fused(pooled, diagnostics={"gate": gates} if diagnostics else {})

    def _gates(self, joined: Tensor, present: Tensor) -> Tensor:
        """joined (B, D_1 + … + D_M), present (B, M) -> (B, M, H), zeros where a modality is absent."""
        gates = self.gate(joined).sigmoid().unflatten(1, (-1, self.out_dim))  # (B, 1 or M, H)
        if len(self.dims) == 2:
            gates = torch.cat([gates, 1 - gates], 1)
            gates = torch.where(present.all(1)[:, None, None], gates, 1.0)
        return blank(gates, present)
