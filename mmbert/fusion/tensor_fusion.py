"""Tensor fusion (TFN): the outer product of all modalities, each with a 1 appended, read by a small network.

    h_m = ReLU(W_m LN(v_m) + b_m) where the modality is present, 0 where it is absent        width d
    t   = [h_1; 1] ⊗ … ⊗ [h_M; 1]                                                            (d + 1)^M numbers
    z   = ReLU(B · ReLU(A · t + a) + b)

Paper: Zadeh et al. 2017, "Tensor Fusion Network for Multimodal Sentiment Analysis", arXiv:1707.07250, for any number of
modalities. The appended ones make t hold every product of one, two, … M modalities, not only that of all M. The two
layers with ReLU are the paper's inference network up to its decision layer, which is the task's head here.
Differs from it: one layer with a layer norm before it (``normalize=False`` leaves that out) rather than subnetworks of
their own.
Missing modalities: only the 1 of [0; 1] is left, so that t holds all products of the present modalities.

Width: t grows with the power M. Without ``hidden_dim`` it is H, or as much as keeps t below 36,000 numbers: the
paper's 32 for three modalities, 12 for four, 7 for five. ``low_rank`` does without the tensor.

Initial scale: A's variance differs between the entries of t so that the products of each set of modalities, 2^M sets
in all, give A · t the same share of a variance of 1; else the product of all would outweigh the others, and z would be
almost constant for samples that lack a modality. B begins as He et al. 2015, arXiv:1502.01852, have it for ReLU:
E z² ≈ 1/2.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.outer_product import outer_product
from mmbert.fusion.layers.projection import Projection

#: numbers in the tensor: as many as (32 + 1)³ by default; more than the limit is refused rather than run out of memory
DEFAULT_SIZE, LARGEST_SIZE = 36_000, 4_194_304


class TensorFusion(Fusion):
    """Outer product of the projections, each with a 1 appended, and two layers.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector and of the layer before it.
        hidden_dim: width d of each modality in the tensor; None = see the header.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector and between the two layers.

    Raises:
        ConfigError: ``hidden_dim`` is below 1, or makes a tensor of more than 4,194,304 numbers.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        hidden_dim: Annotated[int | None, Range(1)] = None,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        width = default_width(len(dims), out_dim) if hidden_dim is None else hidden_dim
        size = (width + 1) ** len(dims)
        if width < 1:
            raise ConfigError(f"fusion.hidden_dim={width} must be at least 1, or null for a width that fits.")
        if size > LARGEST_SIZE:
            raise ConfigError(
                f"fusion.hidden_dim={width} makes a tensor of {width + 1}^{len(dims)} = {size:,} numbers for "
                f"{len(dims)} modalities, and {LARGEST_SIZE:,} is the most. Use a smaller one, null for a width that "
                "fits, or fusion=low_rank, which never builds the tensor."
            )
        projections = {m: Projection(d, width, normalize, dropout) for m, d in dims.items()}
        self.project = nn.ModuleDict(projections)
        self.first = nn.Linear(size, out_dim)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(out_dim, out_dim)
        self._initialise(width, [projection.linear for projection in projections.values()])

    def _initialise(self, width: int, projections: list[nn.Linear]) -> None:
        """See the header: E h² is 1/2 after ReLU, so that d numbers of one modality have d / 2 in all."""
        for linear in projections:
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            nn.init.zeros_(linear.bias)
        axis = torch.tensor([(width / 2) ** -0.5] * width + [1.0]) / math.sqrt(2)
        with torch.no_grad():
            self.first.weight.normal_().mul_(outer_product([axis.unsqueeze(0)] * len(self.dims))[0])
        nn.init.kaiming_normal_(self.second.weight)
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.second.bias)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        extended = []
        for m, x in inputs.items():
            h = blank(self.project[m](x.pooled, x.present).relu(), x.present)
            extended.append(torch.cat([h, torch.ones_like(h[:, :1])], 1))  # (B, d + 1)
        hidden = self.dropout(self.first(outer_product(extended)).relu())
        fused: Tensor = self.second(hidden).relu()
        return fused


def default_width(modalities: int, out_dim: int) -> int:
    """The largest width up to H whose tensor has at most 36,000 numbers; 1 where even that has more."""
    width = 1
    while width < out_dim and (width + 2) ** modalities <= DEFAULT_SIZE:
        width += 1
    return width
