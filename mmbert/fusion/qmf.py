"""QMF: late fusion weighted by each head's confidence, with a ranking loss that ties confidence to past losses.

    w_m  = log Σ_c exp(z_m,c) / T                         the negative energy of head m's logits; T = 10
    z    = Σ_{m ∈ P} stop(w_m) z_m                        P = the modalities that the sample has; stop = no gradient
    L    = L_task(z) + Σ_{m ∈ P} [view_weight L_task(z_m) + rank_weight R_m]
    R_m  = mean over pairs (i, j) of max(0, t (w_m,i - w_m,j) - |κ_m,i - κ_m,j|),    t = sign(κ_m,i - κ_m,j)

κ_m,i is what head m has lost on sample i in all its steps so far, scaled to [0, 1] over the train samples: a sample
that was hard shall not be predicted with more confidence than an easy one. Pairs are neighbours in the batch, the last
with the first.

Paper: Zhang et al. 2023, "Provable Dynamic Fusion for Low-Quality Multimodal Data", arXiv:2306.02050, as its authors'
code computes it (T, the stopped gradient, the sum of weighted logits, the pairs, and the sign of the margin: in the
ranking loss that it goes back to, Moon et al. 2020, "Confidence-Aware Learning for Deep Neural Networks",
arXiv:2007.01458, the margin is added). Differs from it: any number of modalities; the scale of κ is that of the samples
seen so far, where the code counts those still to come as 0 in the first epoch; in distributed training all processes
share κ. Properties are an extension: w_m = Σ_c log(1 + exp(z_m,c)) / T, the joint energy of Wang et al. 2021, "Can
Multi-Label Classification Networks Know What They Don't Know?", arXiv:2109.14162. Numbers have no energy and are
refused. Missing modalities: an absent one leaves the sum, its head gets no gradient, and pairs are made of the samples
that have it. Diagnostics: ``share/TASK`` (B, M), the weights w.
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
from mmbert.fusion.layers.all_gather import gather_rows
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


class QMFFusion(Fusion):
    """Confidence-weighted sum of the modalities' logits.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of what each head reads.
        temperature: T, above 0.
        view_weight: factor on the views' own losses; the paper's is 1.
        rank_weight: factor on the ranking losses; the paper's is 1.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: an option lies outside its range; later, if a task's outputs are numbers.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        temperature: float = 10.0,
        view_weight: float = 1.0,
        rank_weight: float = 1.0,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if not temperature > 0:
            raise ConfigError(f"fusion.temperature={temperature} must be above 0.")
        if not rank_weight >= 0:
            raise ConfigError(f"fusion.rank_weight={rank_weight} must not be negative.")
        self.views = tuple(dims)
        self.temperature = temperature
        self.view_weight = view_weight
        self.rank_weight = rank_weight
        self.unimodal = UnimodalViews(dims, out_dim, normalize, dropout)

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view for each modality."""
        fused: Fused = self.unimodal(inputs)
        return fused

    def decision(self, spec: OutputSpec) -> QMFDecision:
        """The weighted sum, of logits.

        Raises:
            ConfigError: the outputs are numbers.
        """
        refuse_kind(spec, "qmf", ("classification", "multilabel"), "its confidence is the energy of logits.")
        return QMFDecision(spec, self.views, self.temperature, self.view_weight, self.rank_weight)


class QMFDecision(Decision):
    """The confidence weights of one task, and the history of losses that they are trained with.

    Args:
        spec: what the outputs are.
        views: V names.
        temperature: T.
        view_weight: as of the fusion.
        rank_weight: as of the fusion.
    """

    has_shares = True

    def __init__(
        self, spec: OutputSpec, views: Sequence[str], temperature: float, view_weight: float, rank_weight: float
    ) -> None:
        super().__init__(spec, views, view_weight)
        self.temperature = temperature
        self.rank_weight = rank_weight
        #: (rows of the table, V) what each head has lost on each row so far; NaN = not seen yet
        self.history: Tensor
        self.register_buffer("history", torch.zeros(0, len(views)), persistent=False)

    def confidence(self, outputs: Tensor) -> Tensor:
        """outputs (B, V, C) -> w (B, V), float32 at least."""
        exact = precise(outputs)
        energy = exact.logsumexp(-1) if self.spec.kind == "classification" else F.softplus(exact).sum(-1)
        return energy / self.temperature

    def forward(self, outputs: Tensor, present: Tensor) -> Tensor:
        """outputs (B, V, C), present (B, V) -> (B, C)."""
        weights = self.confidence(outputs).detach().unsqueeze(-1)
        return blank(weights * precise(outputs), present).sum(1).to(outputs.dtype)

    def shares(self, outputs: Tensor, present: Tensor) -> Tensor:
        """The weights, (B, V), 0 where absent."""
        return blank(self.confidence(outputs), present)

    def losses(self, output: DecisionOutput, truth: Truth) -> dict[str, Tensor]:
        """``view/NAME``, the views' own losses, and ``ranking``; the history takes the batch in first."""
        terms = super().losses(output, truth)
        if self.rank_weight:
            counted = output.present & (truth.labelled & (truth.rows >= 0)).unsqueeze(1)  # (B, V)
            with torch.no_grad():
                self._remember(truth.rows, counted, self._each_loss(output.outputs, truth))
            weights = self.confidence(output.outputs)
            hardness = self._hardness(truth.rows, weights.dtype)
            total = truth.labelled.sum().clamp(min=1)
            ranks = [ranking(weights[:, v], hardness[:, v], counted[:, v]) for v in range(len(self.views))]
            terms["ranking"] = self.rank_weight * torch.stack(ranks).sum() / total
        return terms

    def _each_loss(self, outputs: Tensor, truth: Truth) -> Tensor:
        """outputs (B, V, C) -> (B, V): what each head loses on each sample; of no meaning where nobody is labelled."""
        exact = precise(outputs)
        if self.spec.kind == "classification":
            chosen = truth.target.clamp(min=0).reshape(-1, 1, 1).expand(-1, len(self.views), 1)
            return -exact.log_softmax(-1).gather(-1, chosen).squeeze(-1)
        target = blank(truth.target, truth.labelled).to(exact.dtype).unsqueeze(1).expand_as(exact)
        return F.binary_cross_entropy_with_logits(exact, target, reduction="none").mean(-1)

    def _remember(self, rows: Tensor, counted: Tensor, losses: Tensor) -> None:
        """Adds the losses (B, V) of all processes' samples that count to what is known of their rows."""
        rows, counted, losses = (gather_rows(x)[0] for x in (rows, counted.to(losses.dtype), losses))
        needed = int(rows.max()) + 1
        if needed > len(self.history):
            more = self.history.new_full((needed - len(self.history), len(self.views)), torch.nan)
            self.history = torch.cat([self.history, more])
        for v in range(len(self.views)):
            some = counted[:, v] > 0
            # a row may stand in a batch twice, so added one by one
            known = self.history[:, v].nan_to_num()
            known.index_add_(0, rows[some], losses[some, v].to(known.dtype))
            fresh = torch.zeros_like(known, dtype=torch.bool).index_fill_(0, rows[some], True)
            self.history[:, v] = torch.where(fresh | ~self.history[:, v].isnan(), known, torch.nan)

    def _hardness(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """κ (B, V) of the rows, in [0, 1]; of no meaning for rows that do not count."""
        if not len(self.history):
            return torch.zeros(len(rows), len(self.views), dtype=dtype, device=rows.device)
        lowest = self.history.nan_to_num(nan=torch.inf).amin(0)
        spread = self.history.nan_to_num(nan=-torch.inf).amax(0) - lowest
        scaled = (self.history[rows.clamp(min=0)] - lowest) / torch.where(spread > 0, spread, 1.0)
        return scaled.nan_to_num(0.0, 0.0, 0.0).to(dtype)

    def training_state(self) -> dict[str, Tensor]:
        """The history."""
        return {"history": self.history.cpu()}

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Goes on with that history."""
        if "history" in state:
            self.history = state["history"].to(self.history.device)


def ranking(weights: Tensor, hardness: Tensor, counted: Tensor) -> Tensor:
    """Σ over neighbours of max(0, t (w_i - w_j) - |κ_i - κ_j|), t = sign(κ_i - κ_j).

    Args:
        weights: w (B,).
        hardness: κ (B,).
        counted: (B,) bool, the samples that pairs are made of; each is a first partner once.
    """
    w, k = weights[counted], hardness[counted]
    difference = k - k.roll(-1)
    return (difference.sign() * (w - w.roll(-1)) - difference.abs()).clamp(min=0).sum()
