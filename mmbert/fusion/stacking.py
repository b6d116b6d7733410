"""Stacking: a small network reads the outputs of the modalities' heads and predicts the output of the task.

    s_m  = softmax(z_m), or the sigmoid of each property, or (y_m - mean) / std of a number;  zeros if m is absent
    z    = U GELU(W [s_1; …; s_M; r] + b) + c,        r_m = 1 if the sample has m, else 0;  hidden_dim=0: U [s; r] + c
    y    = mean + std · z                             of a number;  z_m, y_m = head_m(W_m LN(v_m) + b_m)

Papers: Wolpert 1992, "Stacked Generalization", Neural Networks 5(2); Ting & Witten 1999, "Issues in Stacked
Generalization", arXiv:1105.5466, by whom the network reads probabilities rather than classes. Differs from both: the
network is not trained on held-out predictions of finished models, but together with heads and encoders, by the loss of
its own output plus ``view_weight`` times the sum of the heads' losses; and missing modalities are a part of its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


class StackingFusion(Fusion):
    """Decision-level fusion by a small network over the heads' outputs.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        hidden_dim: width of the network's hidden layer; 0 = one linear layer.
        view_weight: factor on the sum of the views' own losses; 0 = only the joined output's loss.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``hidden_dim`` is negative.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        hidden_dim: Annotated[int, Range(0)] = 32,
        view_weight: float = 1.0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if hidden_dim < 0:
            raise ConfigError(f"fusion.hidden_dim={hidden_dim} must not be negative; 0 is a linear layer.")
        self.views = tuple(dims)
        self.hidden_dim = hidden_dim
        self.view_weight = view_weight
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> StackingDecision:
        """A network of the task's own, for outputs of any kind."""
        return StackingDecision(spec, self.views, self.hidden_dim, self.view_weight)


class StackingDecision(Decision):
    """The network of one task.

    Args:
        spec: what the outputs are.
        views: V names.
        hidden_dim: width of the hidden layer; 0 = none.
        view_weight: as of the fusion.
    """

    def __init__(self, spec: OutputSpec, views: Sequence[str], hidden_dim: int, view_weight: float) -> None:
        super().__init__(spec, views, view_weight)
        width = len(views) * (spec.size + 1)
        self.network = (
            nn.Sequential(nn.Linear(width, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, spec.size))
            if hidden_dim
            else nn.Linear(width, spec.size)
        )

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) -> (B, C)."""
        if self.spec.kind == "regression":
            normalised = (outputs - self.spec.centre) / self.spec.scale
        else:
            normalised = outputs.softmax(-1) if self.spec.kind == "classification" else outputs.sigmoid()
        read = torch.cat([blank(normalised, present).flatten(1), present.to(normalised.dtype)], 1)  # (B, V · C + V)
        answer: Tensor = self.network(read.to(next(self.network.parameters()).dtype))
        if self.spec.kind != "regression":
            return answer
        # in the outputs' own format, float64 from a regression: half precision would round 1003 to 1000
        return answer.to(outputs.dtype) * self.spec.scale + self.spec.centre
