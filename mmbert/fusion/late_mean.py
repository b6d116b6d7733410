"""Late mean: each task judges every modality by a head of its own; the judgements are averaged over those present.

    p_m  = softmax(z_m), or the sigmoid of each property,  z_m = head_m(W_m LN(v_m) + b_m)
    p    = 1/|P| Σ_{m ∈ P} p_m          average=probabilities
    z    = 1/|P| Σ_{m ∈ P} z_m          average=logits;  P = the modalities that the sample has
    y    = 1/|P| Σ_{m ∈ P} y_m          numbers, either way

The output is log p, or log p - log(1 - p) for properties, so that a softmax or sigmoid gives p again.
Paper: the sum rule of Kittler et al. 1998, "On Combining Classifiers", IEEE PAMI 20(3); with logits it is, up to a
factor, its product rule. Differs from it: heads and encoders are trained together, by the loss of the joined output
plus ``view_weight`` times the sum of the views' own losses. Missing modalities: the mean is over the present ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import masked_mean
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision import Decision, precise
from mmbert.fusion.unimodal import UnimodalViews

AVERAGES = ("probabilities", "logits")


class LateMeanFusion(Fusion):
    """Mean of the modalities' judgements.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        average: ``probabilities`` or ``logits``.
        view_weight: factor on the sum of the views' own losses; 0 = the joined output's loss alone.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``average`` is another word.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        average: Literal["probabilities", "logits"] = "probabilities",
        view_weight: float = 1.0,
        normalize: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if average not in AVERAGES:
            raise ConfigError(f"fusion.average={average} is unknown. {nearest(average, AVERAGES)}")
        self.views = tuple(dims)
        self.average = average
        self.view_weight = view_weight
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> MeanDecision:
        """The mean, of outputs of any kind."""
        return MeanDecision(spec, self.views, self.average == "probabilities", self.view_weight)


class MeanDecision(Decision):
    """Mean over the present views.

    Args:
        spec: what the outputs are.
        views: V names.
        probabilities: of probabilities rather than of logits; numbers are averaged as they are.
        view_weight: as of the fusion.
    """

    def __init__(self, spec: OutputSpec, views: Sequence[str], probabilities: bool, view_weight: float) -> None:
        super().__init__(spec, views, view_weight)
        self.probabilities = probabilities

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) -> (B, C)."""
        exact = precise(outputs)
        if self.spec.kind == "numbers" or not self.probabilities:
            joined = masked_mean(exact, present)
        elif self.spec.kind == "classes":
            joined = log_mean(exact.log_softmax(-1), present)
        else:
            joined = log_mean(F.logsigmoid(exact), present) - log_mean(F.logsigmoid(-exact), present)
        return joined.to(outputs.dtype)


def log_mean(logs: Tensor, present: Tensor) -> Tensor:
    """logs (B, V, C) of probabilities, present (B, V) -> (B, C): the log of their mean over what is present."""
    kept = logs.masked_fill(~present.unsqueeze(-1), -math.inf)
    count = present.sum(1, keepdim=True).to(logs.dtype)
    return torch.logsumexp(kept, 1) - count.log()
