"""EmbraceNet: each number of the fused vector is taken from one modality, drawn at random among those present.

    d_m = ReLU(W_m LN(v_m) + b_m)                               docking layers, to a common width
    p_m = π_m / Σ_{j ∈ P} π_j for m ∈ P, else 0                 P = the modalities that the sample has; π_m = 1 or given
    training:    z_i = d_{m(i), i},  m(i) ~ Multinomial(1, p), drawn anew for each sample and number i
    evaluation:  z   = Σ_m p_m d_m                              the expectation of the above

Paper: Choi and Lee 2019, "EmbraceNet: A robust deep learning architecture for multimodal classification",
arXiv:1904.09078. Drawing only among the present modalities is the paper's own way with missing ones.
Differs from it: in evaluation the authors' code draws as well; here nothing is random in evaluation, and z is the
expectation. The layer norm (``normalize=False`` leaves it out) is added. The modality dropout that the paper combines
it with in training is a matter of the data here (``augment.modality_dropout``), and the terminal network one of the
tasks' heads.

Initial scale: docking layers as He et al. 2015, arXiv:1502.01852, have it for ReLU, so that E d² = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import EachEncoder, Range
from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class EmbraceNetFusion(Fusion):
    """Random choice of a modality for each number; its expectation in evaluation.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the docked and of the fused vectors.
        probabilities: how often each modality is chosen when all are present, by name, up to a common factor;
            None = equally often.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``probabilities`` does not name the modalities, or has one that is not above 0.
    """

    reads_tokens = False
    odds: Tensor

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        probabilities: Annotated[
            Mapping[str, float] | None,
            EachEncoder(Range(above=0), "a number above 0 for each encoder ({text: 2, image: 1, audio: 1})"),
        ] = None,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        odds = dict.fromkeys(dims, 1.0) if probabilities is None else dict(probabilities)
        if set(odds) != set(dims) or any(value <= 0 for value in odds.values()):
            raise ConfigError(
                f"fusion.probabilities={odds} must give each of {list(dims)} a number above 0, or be null."
            )
        docks = {m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()}
        for dock in docks.values():
            nn.init.kaiming_normal_(dock.linear.weight)
            nn.init.zeros_(dock.linear.bias)
        self.dock = nn.ModuleDict(docks)
        self.register_buffer("odds", torch.tensor([odds[m] for m in dims]), persistent=False)

    def fuse(self, inputs: dict[str, Encoded]) -> Tensor:
        """``pooled`` (B, D_m) each -> (B, H)."""
        docked = torch.stack(
            [blank(self.dock[m](x.pooled, x.present).relu(), x.present) for m, x in inputs.items()], 1
        )  # (B, M, H)
        present = torch.stack([x.present for x in inputs.values()], 1)  # (B, M)
        odds = blank(self.odds.to(docked.dtype).expand(present.shape), present)
        if self.training:
            return docked.gather(1, drawn(odds, self.out_dim).unsqueeze(1)).squeeze(1)
        chances = odds / odds.sum(1, keepdim=True).clamp(min=torch.finfo(odds.dtype).tiny)
        return (chances.unsqueeze(2) * docked).sum(1)


def drawn(odds: Tensor, count: int) -> Tensor:
    """odds (B, M), at least 0 and one of them above -> (B, count) indices drawn with these odds, independently.

    The least of M exponential variables with the rates ``odds`` is the m-th with the chance odds_m / Σ odds. Unlike
    ``torch.multinomial`` this takes a row of zeros as well.
    """
    waits = torch.empty(*odds.shape, count, device=odds.device).exponential_()  # float32: bfloat16 would often tie
    rates = odds.float().unsqueeze(2)
    return torch.where(rates > 0, waits / rates.clamp(min=torch.finfo(rates.dtype).tiny), torch.inf).argmin(1)
