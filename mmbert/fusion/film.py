"""FiLM: one modality's features, scaled and shifted element by element by functions of the other modalities.

    x = W LN(v_a) + b                                               the modulated modality a, 0 where it is absent
    γ = 1 + 1/|C| Σ_{j ∈ C} (G_j LN(v_j) + g_j)                     C = the other modalities that the sample has
    β =     1/|C| Σ_{j ∈ C} (S_j LN(v_j) + s_j)
    z = γ ⊙ x + β

Paper: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer", arXiv:1709.07871. As there, the
generator gives γ − 1, for a γ around zero would suppress the features; with two modalities z is the paper's layer.
Differs from it: only the layer, on a vector rather than on the maps of a convolutional network, without the residual
blocks around it; with more than two modalities the generators' outputs are averaged; layer norms before all maps
(``normalize=False`` leaves them out).
Missing modalities: without the modulated one z = β, the others' shift; without any of the others γ = 1, β = 0 and
z = x.

Diagnostics: ``gamma`` and ``beta`` (B, H).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import masked_mean
from mmbert.core.ranges import Range, String
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.layers.projection import Projection


class FilmFusion(Fusion):
    """Feature-wise linear modulation of one modality by the others.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the fused vector.
        modulated: the modality that is scaled and shifted; None = the first. All others condition it.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.

    Raises:
        ConfigError: ``modulated`` is none of the modalities.
    """

    reads_tokens = False

    def __init__(
        self,
        dims: dict[str, int],
        out_dim: int = 128,
        modulated: Annotated[str | None, String("the name of an encoder (text)")] = None,
        normalize: bool = True,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(dims, out_dim)
        if modulated is not None and modulated not in dims:
            raise ConfigError(f"fusion.modulated={modulated} is none of the modalities. {nearest(modulated, dims)}")
        self.modulated = next(iter(dims)) if modulated is None else modulated
        self.project = Projection(dims[self.modulated], out_dim, normalize, dropout)
        self.generators = nn.ModuleDict(
            {m: Projection(d, 2 * out_dim, normalize, dropout) for m, d in dims.items() if m != self.modulated}
        )

    def fuse(self, inputs: dict[str, Encoded], diagnostics: bool | Literal["shares"] = False) -> Tensor | Fused:
        """``pooled`` (B, D_m) each -> (B, H); γ and β too with ``diagnostics=True``."""
        main = inputs[self.modulated]
        x = self.project(main.pooled, main.present)
        others = {m: inputs[m] for m in self.generators}
        if not others:
            return x
        generated = torch.stack(
            [self.generators[m](o.pooled, o.present) for m, o in others.items()], 1
        )  # (B, M - 1, 2H)
        present = torch.stack([o.present for o in others.values()], 1)  # (B, M - 1)
        scale, beta = masked_mean(generated, present).chunk(2, 1)
        gamma = 1 + scale
        z = gamma * x + beta
        return Fused(z, diagnostics={"gamma": gamma, "beta": beta}) if diagnostics is True else z
