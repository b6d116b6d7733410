"""TMC: heads give evidence, evidence is an opinion with its uncertainty, opinions are joined by Dempster's rule.

    e_m  = softplus(z_m),   α_m = e_m + 1                       a Dirichlet over K classes, S_m = Σ_k α_m,k
    b_m  = e_m / S_m,       u_m = K / S_m                       belief and uncertainty, Σ_k b_m,k + u_m = 1
    b_k  = (b_1,k b_2,k + b_1,k u_2 + b_2,k u_1) / (1 - C),   u = u_1 u_2 / (1 - C),   C = Σ_{i ≠ j} b_1,i b_2,j
    e    = b S,  S = K / u,  α = e + 1                          and so on with the third modality, the fourth, …

In evidence the rule reads 1 + e_k/K = Π_m (1 + e_m,k/K): put b = e/S and u = K/S in, and 1 - C cancels out. So it is
computed here, in logarithms; the order of modalities means nothing. The output is log α: its softmax is α/S, the
expected probabilities.

    L    = A(α) + Σ_{m ∈ P} A(α_m)                              taken instead of the task's loss; a mean over samples
    A(α) = Σ_k y_k (ψ(S) - ψ(α_k)) + λ KL[D(y + (1 - y) α) ‖ D(1)],    λ = min(1, (epoch + 1) / anneal_epochs)

Paper: Han et al. 2021, "Trusted Multi-View Classification", arXiv:2102.02051, (4) to (12). Properties are an extension:
each is an opinion over yes and no (K = 2) with e = softplus(z) and softplus(-z), the output log α_yes - log α_no, the
loss a mean over properties. Numbers are refused, and so are class weights and smoothed labels, which this loss does not
know. Missing modalities: an absent one has no evidence; that is the opinion of pure uncertainty, which Dempster's rule
leaves without effect, and its own loss is left out. Diagnostics: ``share/TASK`` (B, M), the certainty 1 - u_m, a mean
over properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused, OutputSpec
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import Decision, DecisionOutput, Truth, precise, refuse_kind
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


class TMCFusion(Fusion):
    """Evidence of each modality, joined by the reduced rule of Dempster.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        anneal_epochs: epochs until the divergence counts in full, at least 1; the paper's code takes 50.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: an option lies outside its range; later, if a task's outputs are numbers or its loss is weighed.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        anneal_epochs: int = 50,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if anneal_epochs < 1:
            raise ConfigError(f"fusion.anneal_epochs={anneal_epochs} must be at least 1.")
        self.views = tuple(dims)
        self.anneal_epochs = anneal_epochs
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> EvidenceDecision:
        """Dempster's rule, for classes and properties.

        Raises:
            ConfigError: the outputs are numbers, or the task weighs classes or smooths labels.
        """
        refuse_kind(spec, "tmc", ("classification", "multilabel"), "evidence is for or against something.")
        if not spec.plain_loss:
            raise ConfigError(
                f"fusion=tmc has a loss of its own, which knows neither class_weights nor label_smoothing; the task on "
                f"column '{spec.column}' sets one of them. Set class_weights=null and label_smoothing=0 there."
            )
        return EvidenceDecision(spec, self.views, self.anneal_epochs)


class EvidenceDecision(Decision):
    """Opinions of one task's heads, and their loss.

    Args:
        spec: what the outputs are.
        views: V names.
        anneal_epochs: as of the fusion.
    """

    replaces_loss = True
    has_shares = True

    def __init__(self, spec: OutputSpec, views: Sequence[str], anneal_epochs: int) -> None:
        super().__init__(spec, views)
        self.anneal_epochs = anneal_epochs

    def evidence(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C) -> (B, V, C, K), none where absent: of classes (B, V, 1, C), of properties (B, V, C, 2)."""
        exact = precise(outputs)
        logits = exact.unsqueeze(2) if self.spec.kind == "classification" else torch.stack([exact, -exact], -1)
        return blank(F.softplus(logits), present)

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) -> (B, C): log α, or log α_yes - log α_no."""
        logs = combine(self.evidence(outputs, present)).log1p()  # (B, C, K), of α = e + 1
        joined = logs.squeeze(1) if self.spec.kind == "classification" else logs[..., 0] - logs[..., 1]
        return joined.to(outputs.dtype)

    def shares(self, outputs: Tensor, present: Tensor) -> Tensor:
        """1 - u_m, (B, V)."""
        evidence = self.evidence(outputs, present)
        total = evidence.sum(-1)  # (B, V, C)
        return (total / (total + evidence.shape[-1])).mean(-1)

    def losses(self, output: DecisionOutput, truth: Truth) -> dict[str, Tensor]:
        """``evidence``, of the joined opinion, and ``view/NAME``, of each present one."""
        evidence = self.evidence(output.outputs, output.present)
        if self.spec.kind == "classification":
            right = F.one_hot(truth.target.clamp(min=0), self.spec.size).unsqueeze(1)  # (B, 1, K)
        else:
            yes = blank(truth.target, truth.labelled)
            right = torch.stack([yes, 1 - yes], -1)  # (B, C, 2)
        right = right.to(evidence.dtype)
        strength = min(1.0, (truth.epoch + 1) / self.anneal_epochs)
        total = truth.labelled.sum().clamp(min=1)

        def mean(evidence: Tensor, counted: Tensor) -> Tensor:
            return blank(evidence_loss(evidence, right, strength).mean(1), counted).sum() / total

        terms = {"evidence": mean(combine(evidence), truth.labelled)}
        for number, name in enumerate(self.views):
            terms[f"view/{name}"] = mean(evidence[:, number], truth.labelled & output.present[:, number])
        return terms


def combine(evidence: Tensor) -> Tensor:
    """evidence (B, V, ..., K) of V opinions -> (B, ..., K), that of their combination."""
    classes = evidence.shape[-1]
    return classes * (evidence / classes).log1p().sum(1).expm1()


def evidence_loss(evidence: Tensor, right: Tensor, strength: float) -> Tensor:
    """A(α) of the header.

    Args:
        evidence: (..., K), at least 0.
        right: (..., K), y: 1 at the right class, else 0.
        strength: λ.

    Returns:
        (...)
    """
    alpha = evidence + 1
    expected = (right * (alpha.sum(-1, keepdim=True).digamma() - alpha.digamma())).sum(-1)
    return expected + strength * divergence(evidence * (1 - right) + 1)


def divergence(alpha: Tensor) -> Tensor:
    """KL[D(α) ‖ D(1)] of Dirichlet distributions, alpha (..., K) -> (...)."""
    total = alpha.sum(-1)
    classes = alpha.new_tensor(float(alpha.shape[-1]))
    shifted = ((alpha - 1) * (alpha.digamma() - total.digamma().unsqueeze(-1))).sum(-1)
    return total.lgamma() - alpha.lgamma().sum(-1) - classes.lgamma() + shifted
