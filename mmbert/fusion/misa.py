"""MISA: each modality's vector is split into what all share and what is its own; a transformer joins both.

    u_m  = LN(ReLU(W_m v_m + b_m))                          all of width H
    c_m  = σ(C u_m + …),   p_m = σ(P_m u_m + …)             shared (one C for all) and private
    z    = MLP [T(p_1, …, p_M, c_1, …, c_M)]                T = one transformer layer over 2M vectors; MLP = Linear to
                                                            M · H, ReLU, Linear to H

In training only, L = sim_weight · L_sim + diff_weight · L_diff + recon_weight · L_recon is added:

    L_sim   = mean over pairs of CMD(c_m, c_j),
              CMD(a, b) = |E a - E b| + Σ_{k=2}^{5} |E(a - E a)^k - E(b - E b)^k|,      E = mean over the batch
    L_diff  = Σ_m O(c_m, p_m) + Σ_{pairs} O(p_m, p_j),
              O(a, b) = mean of the H² squared entries of A^T B, the rows of A and B being the batch's, less their
              mean, divided by their length
    L_recon = mean over m of |u_m - (R_m (c_m + p_m) + r_m)|² / H

Paper: Hazarika et al. 2020, "MISA: Modality-Invariant and -Specific Representations for Multimodal Sentiment Analysis",
arXiv:2005.03545, section 3; O is taken from the authors' code, where it is a mean rather than the paper's sum, and so
are the default weights and the two heads. That code takes the lengths in O for constants where it differentiates
(``constant_lengths=True``), and so has not the gradient of O, which does not depend on lengths: each step makes vectors
shorter, until c_m and p_m are the same for every sample, the sooner the more samples a batch has compared with H, for O
is as large as (B / H)². Differs from the paper: v_m is the encoder's vector, where the paper runs LSTMs over the
sequences; the transformer's feed-forward layer is 2H wide rather than 2048; the MLP ends in H, as the head belongs to
the task; any number of modalities; similarity by CMD only, not by an adversary. Missing modalities: their vectors are
no keys of the transformer and zeros for the MLP; L_sim and O(p_m, p_j) are computed over the samples that have both,
the rest over those that have m. A loss without any sample is 0; pairs without any are left out of the mean.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.attention import encoder_layer
from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.decision_level import precise

MOMENTS = 5


class MISAFusion(Fusion):
    """Shared and private representations, joined by a transformer.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the representations and of the fused vector.
        num_heads: of the transformer layer; divides ``out_dim``.
        sim_weight: factor on the loss that draws shared representations together.
        diff_weight: factor on the loss that keeps private ones apart from them and from each other.
        recon_weight: factor on the loss by which both together must reconstruct the modality's vector; above 0.
        constant_lengths: no gradient flows through the lengths in L_diff, as in the authors' code.
        dropout: in the transformer and the MLP.

    Raises:
        ConfigError: ``num_heads`` does not divide ``out_dim``, or a weight lies outside its range.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        num_heads: Annotated[int, Range(1)] = 2,
        sim_weight: float = 1.0,
        diff_weight: float = 0.3,
        recon_weight: float = 1.0,
        constant_lengths: bool = False,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if out_dim % num_heads:
            raise ConfigError(f"fusion.num_heads={num_heads} must divide fusion.out_dim={out_dim}.")
        weights = {"sim_weight": sim_weight, "diff_weight": diff_weight}
        for name, weight in weights.items():
            if not weight >= 0:
                raise ConfigError(f"fusion.{name}={weight} must not be negative.")
        if not recon_weight > 0:
            raise ConfigError(f"fusion.recon_weight={recon_weight} must be above 0: nothing else trains what it reads.")
        self.constant_lengths = constant_lengths
        self.weights = {"similarity": sim_weight, "difference": diff_weight, "reconstruction": recon_weight}
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(d, out_dim), nn.ReLU(), nn.LayerNorm(out_dim)) for m, d in dims.items()}
        )
        self.shared = nn.Linear(out_dim, out_dim)
        self.private = nn.ModuleDict({m: nn.Linear(out_dim, out_dim) for m in dims})
        self.reconstruct = nn.ModuleDict({m: nn.Linear(out_dim, out_dim) for m in dims})
        self.transformer = nn.TransformerEncoderLayer(
            out_dim, num_heads, dim_feedforward=2 * out_dim, dropout=dropout, batch_first=True
        )
        count = len(dims)
        self.mlp = nn.Sequential(
            nn.Linear(2 * count * out_dim, count * out_dim),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(count * out_dim, out_dim),
        )

    def fuse(self, inputs: dict[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused, in training with ``similarity``, ``difference`` and ``reconstruction``."""
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        unified = [self.project[m](x.pooled) for m, x in inputs.items()]
        private = [self.private[m](u).sigmoid() for m, u in zip(inputs, unified, strict=True)]
        shared = [self.shared(u).sigmoid() for u in unified]
        both = present.repeat(1, 2)  # (B, 2M)
        vectors = blank(torch.stack([*private, *shared], 1), both)  # (B, 2M, H)
        joined = blank(encoder_layer(self.transformer, vectors, both), both)
        pooled: Tensor = self.mlp(joined.flatten(1))
        if not self.training:
            return Fused(pooled)
        reconstructed = [self.reconstruct[m](p + c) for m, p, c in zip(inputs, private, shared, strict=True)]
        c, p, u = ([precise(vector) for vector in vectors] for vectors in (shared, private, unified))
        losses = {
            "similarity": similarity_loss(c, present),
            "difference": difference_loss(c, p, present, self.constant_lengths),
            "reconstruction": reconstruction_loss(u, reconstructed, present),
        }
        return Fused(pooled, auxiliary_losses={name: self.weights[name] * loss for name, loss in losses.items()})


def similarity_loss(shared: list[Tensor], present: Tensor) -> Tensor:
    """L_sim: M tensors c (B, H) in [0, 1], present (B, M) -> a scalar."""
    total, occurring = shared[0].new_zeros(()), shared[0].new_zeros(())
    for m, j in combinations(range(len(shared)), 2):
        both = present[:, m] & present[:, j]
        total = total + central_moment_discrepancy(shared[m], shared[j], both)
        occurring = occurring + both.any().to(total.dtype)
    return total / occurring.clamp(min=1)


def central_moment_discrepancy(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """CMD of two sets of vectors in [0, 1], (B, H) each, over the samples of a mask (B,); 0 if it is empty.

    Zellinger et al. 2017, "Central Moment Discrepancy for Domain-Invariant Representation Learning", arXiv:1702.08811.
    """
    means = mean_over(first, mask), mean_over(second, mask)
    total = (means[0] - means[1]).norm()
    centred = first - means[0], second - means[1]
    for k in range(2, MOMENTS + 1):
        total = total + (mean_over(centred[0] ** k, mask) - mean_over(centred[1] ** k, mask)).norm()
    return total


def difference_loss(
    shared: list[Tensor], private: list[Tensor], present: Tensor, constant_lengths: bool = False
) -> Tensor:
    """L_diff: M tensors c and p (B, H), present (B, M) -> a scalar."""
    total = shared[0].new_zeros(())
    for m in range(len(shared)):
        total = total + overlap(shared[m], private[m], present[:, m], constant_lengths)
    for m, j in combinations(range(len(private)), 2):
        total = total + overlap(private[m], private[j], present[:, m] & present[:, j], constant_lengths)
    return total


def overlap(first: Tensor, second: Tensor, mask: Tensor, constant_lengths: bool = False) -> Tensor:
    """O of two representations (B, H) over the samples of a mask (B,); 0 if there are fewer than two."""
    rows = []
    for values in (first, second):
        centred = blank(values - mean_over(values, mask), mask)
        length = centred.norm(dim=1, keepdim=True)
        rows.append(centred / ((length.detach() if constant_lengths else length) + 1e-6))
    with torch.autocast(first.device.type, enabled=False):
        return (rows[0].T @ rows[1]).square().mean()


def reconstruction_loss(unified: list[Tensor], reconstructed: list[Tensor], present: Tensor) -> Tensor:
    """L_recon: M tensors u and their reconstructions, (B, H) each, present (B, M) -> a scalar over those present."""
    errors = torch.stack([(u - r).square().mean(1) for u, r in zip(unified, reconstructed, strict=True)], 1)  # (B, M)
    by_modality = blank(errors, present).sum(0) / present.sum(0).clamp(min=1)
    return by_modality.sum() / present.any(0).sum().clamp(min=1)


def mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """values (B, H), mask (B,) bool -> (H,): the mean over the mask's samples, zeros if there are none."""
    return blank(values, mask).sum(0) / mask.sum().clamp(min=1)
