"""Late product: each task has a head for every modality, and the heads' predicted distributions are multiplied.

    p(c) ∝ Π_{m ∈ P} p_m(c)          classes:     z = Σ_{m ∈ P} log softmax(z_m)
                                     properties:  z = Σ_{m ∈ P} z_m, as yes and no are multiplied each
    y    = 1/|P| Σ_{m ∈ P} y_m       numbers
                                     P = the modalities that the sample has;  z_m, y_m = head_m(W_m LN(v_m) + b_m)

Paper: Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence", Neural Computation 14(8), (1);
as a rule of late fusion, Kittler et al. 1998, "On Combining Classifiers", IEEE PAMI 20(3). Differs from the latter: it
divides by the prior of the class to the power |P| - 1, which here heads have to learn. Numbers are an extension: an
expert is a Gaussian around y_m, all of one width, and their product lies around the mean. Experts and encoders are
trained together, by the loss of the joined output plus ``view_weight`` times the sum of the views' own losses. Missing
modalities: an absent expert's factor is 1, so a sample with fewer modalities gets a flatter distribution.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from mmbert.core.masks import blank, masked_mean
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision, precise
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


class LateProductFusion(Fusion):
    """Product of experts, one a modality.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        view_weight: factor on the sum of the views' own losses; 0 = only the joined output's loss.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        view_weight: float = 1.0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        self.views = tuple(dims)
        self.view_weight = view_weight
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> ProductDecision:
        """The product, of outputs of any kind."""
        return ProductDecision(spec, self.views, self.view_weight)


class ProductDecision(Decision):
    """Product over the present views."""

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) -> (B, C)."""
        exact = precise(outputs)
        if self.spec.kind == "regression":
            return masked_mean(exact, present).to(outputs.dtype)
        logs = exact.log_softmax(-1) if self.spec.kind == "classification" else exact
        return blank(logs, present).sum(1).to(outputs.dtype)
