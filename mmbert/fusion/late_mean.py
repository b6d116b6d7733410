"""Late mean: each task has a head for every modality, and the heads' outputs are averaged over those present.

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

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision, precise
from mmbert.fusion.layers.averages import Average, checked_average, even, weighted
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


class LateMeanFusion(Fusion):
    """Decision-level fusion by the mean of the heads' outputs.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        average: ``probabilities`` or ``logits``.
        view_weight: factor on the sum of the views' own losses; 0 = only the joined output's loss.
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
        average: Average = "probabilities",
        view_weight: float = 1.0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        self.views = tuple(dims)
        self.probabilities = checked_average(average)
        self.view_weight = view_weight
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> MeanDecision:
        """The mean, of outputs of any kind."""
        return MeanDecision(spec, self.views, self.probabilities, self.view_weight)


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
        joined = weighted(exact, self.log_weights(present, exact.dtype), self.spec.kind, self.probabilities)
        return joined.to(outputs.dtype)

    def log_weights(self, present: Tensor, dtype: torch.dtype) -> Tensor:
        """present (B, V) bool -> (B, V): the logs of the views' weights, -inf where absent."""
        return even(present, dtype)
