"""Mixture of experts: a gate sends each sample to a few experts, each of which reads one modality.

    z = Σ_i G_i(x) E_i(v_m(i))
    E_i(v) = O_i ReLU(I_i LN(v) + a_i) + o_i             each modality has ``experts_per_modality`` of them
    G(x)                                                 noisy top-k gating of x = [LN(v_1); …; LN(v_M)], as in
                                                         layers/noisy_gate.py

Paper: Shazeer et al. 2017, "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer",
arXiv:1701.06538: the gate with its noise in training, and the two auxiliary losses ``importance`` and ``load`` that
keep the experts in use. Differs from it: an expert reads its modality's vector rather than all of x, as a part of
the model rather than a layer within a stack; the layer norms (``normalize=False`` leaves them out). Only what is chosen
has a weight, but all experts are computed, which costs little for single vectors and lets the model be compiled and
exported; the numbers are those of sparse dispatch.
Missing modalities: the sample is never sent to their experts and their slots of x are zero; where fewer than k experts
are left, all of these are chosen. Absence does not change the balancing losses (layers/noisy_gate.py).
Nothing is random in evaluation.

k is 2 or more, as in the paper: a single expert always has the weight 1, and its gate would learn nothing.

Diagnostics: ``share/gate`` (B, M), the weight of each modality's experts together; and with ``diagnostics=True``
``gates`` (B, E), E = M · experts_per_modality, modality by modality.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.mlp import two_layers
from mmbert.fusion.layers.noisy_gate import NoisyGate, Routing


class MixtureOfExpertsFusion(Fusion):
    """Sparse mixture of experts that read one modality each.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the experts' outputs and of the fused vector.
        experts_per_modality: how many read each modality.
        top_k: to how many a sample is sent.
        hidden_dim: width of an expert's hidden layer; None = H.
        importance_weight: of the first balancing loss; 0 leaves it out.
        load_weight: of the second.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector and within the experts.

    Raises:
        ConfigError: ``top_k`` is below 2, another number below 1, or a weight below 0.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        experts_per_modality: Annotated[int, Range(1)] = 2,
        top_k: Annotated[int, Range(2)] = 3,
        hidden_dim: Annotated[int | None, Range(1)] = None,
        importance_weight: Annotated[float, Range(0)] = 0.1,
        load_weight: Annotated[float, Range(0)] = 0.1,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        width = out_dim if hidden_dim is None else hidden_dim
        if min(experts_per_modality, width) < 1 or min(importance_weight, load_weight) < 0:
            raise ConfigError(
                f"fusion.experts_per_modality={experts_per_modality} and fusion.hidden_dim={width} must be at least 1, "
                f"fusion.importance_weight={importance_weight} and fusion.load_weight={load_weight} at least 0."
            )
        if top_k < 2:
            raise ConfigError(f"fusion.top_k={top_k} must be at least 2: a gate of a single expert learns nothing.")
        self.loss_weights = {"importance": importance_weight, "load": load_weight}
        self.experts_per_modality = experts_per_modality
        self.norms = nn.ModuleDict({m: nn.LayerNorm(d) if normalize else nn.Identity() for m, d in dims.items()})
        self.dropout = nn.Dropout(dropout)
        self.gate = NoisyGate(sum(dims.values()), len(dims) * experts_per_modality, top_k)
        self.experts = nn.ModuleList(
            two_layers(d, width, out_dim, dropout) for d in dims.values() for _ in range(experts_per_modality)
        )

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Fused:
        """``pooled`` (B, D_m) each -> Fused, with the balancing losses and the header's diagnostics if asked for."""
        vectors = {m: blank(self.dropout(self.norms[m](x.pooled)), x.present) for m, x in inputs.items()}
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        available = present.repeat_interleave(self.experts_per_modality, 1)  # (B, E)
        routing: Routing = self.gate(torch.cat(list(vectors.values()), 1), available)
        read = [v for v in vectors.values() for _ in range(self.experts_per_modality)]
        outputs = torch.stack([expert(v) for expert, v in zip(self.experts, read, strict=True)], 1)  # (B, E, H)
        pooled = (routing.gates.unsqueeze(2) * outputs).sum(1)
        losses = {name: weight * routing.losses[name] for name, weight in self.loss_weights.items() if weight}
        seen = {}
        if diagnostics:
            seen["share/gate"] = routing.gates.unflatten(1, (-1, self.experts_per_modality)).sum(2)
        if diagnostics is True:
            seen["gates"] = routing.gates
        return Fused(pooled, auxiliary_losses=losses, diagnostics=seen)
