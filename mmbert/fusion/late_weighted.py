"""Late weighted: the heads' outputs averaged with learned weights, one for each modality and task.

    w_m  = exp(a_m) / Σ_{j ∈ P} exp(a_j),   a learned, 0 at first;   P = the modalities that the sample has
    p    = Σ_{m ∈ P} w_m p_m                average=probabilities;  p_m = softmax(z_m), or the sigmoid of each property
    z    = Σ_{m ∈ P} w_m z_m                average=logits
    y    = Σ_{m ∈ P} w_m y_m                numbers, either way;    z_m, y_m = head_m(W_m LN(v_m) + b_m)

The output is log p, or log p - log(1 - p) for properties, so that a softmax or sigmoid gives p again.
Papers: the linear opinion pool, weights summing to 1 (Genest & Zidek 1986, "Combining Probability Distributions: A
Critique and an Annotated Bibliography", Statistical Science 1(1)). Here the weights are learned by gradient with all
the rest, by the joined output's loss plus ``view_weight`` times the sum of the views' own losses. They are the same for
all samples, apart from missing modalities: the weights of those present are scaled to sum to 1. With one modality there
is nothing to weigh. Diagnostics: ``share/TASK`` (B, M), the weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmbert.core.types import OutputSpec
from mmbert.fusion.decision_level import precise
from mmbert.fusion.late_mean import LateMeanFusion, MeanDecision


class LateWeightedFusion(LateMeanFusion):
    """Decision-level fusion by a weighted mean of the heads' outputs; the arguments are those of ``LateMeanFusion``."""

    def decision(self, spec: OutputSpec) -> WeightedDecision:
        """Weights of the task's own, for outputs of any kind."""
        return WeightedDecision(spec, self.views, self.probabilities, self.view_weight)


class WeightedDecision(MeanDecision):
    """Mean over the present views with learned weights; the arguments are those of ``MeanDecision``."""

    has_shares = True

    def __init__(self, spec: OutputSpec, views: Sequence[str], probabilities: bool, view_weight: float) -> None:
        super().__init__(spec, views, probabilities, view_weight)
        # a single weight would be 1 whatever its score
        self.scores = nn.Parameter(torch.zeros(len(views))) if len(views) > 1 else None

    def log_weights(self, present: Tensor, dtype: torch.dtype) -> Tensor:
        """present (B, V) bool -> (B, V): the logs of the views' weights, -inf where absent."""
        if self.scores is None:
            return super().log_weights(present, dtype)
        scores = self.scores.to(dtype).expand(present.shape)
        return scores.masked_fill(~present, -math.inf).log_softmax(1)

    def shares(self, outputs: Tensor, present: Tensor) -> Tensor:
        """The weights, (B, V); a row sums to 1."""
        return self.log_weights(present, precise(outputs).dtype).exp()
