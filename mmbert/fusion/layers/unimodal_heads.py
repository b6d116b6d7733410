"""The part that late fusions share: one view for each modality, its vector normalised and projected."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mmbert.core.masks import masked_mean
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.layers.projection import Projection


class UnimodalViews(nn.Module):
    """v_m = W_m LN(x_m) + b_m of each modality as a view; ``pooled`` is the mean over those present.

    Tasks with a head for each view do not read ``pooled``: the tokens of token-level heads are made with it.

    Args:
        dims: width D_m of each modality, by name.
        out_dim: width H of the views.
        normalize: layer norm on each modality's vector first.
        dropout: on each modality's vector.
    """

    def __init__(self, dims: Mapping[str, int], out_dim: int, normalize: bool, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleDict({m: Projection(d, out_dim, normalize, dropout) for m, d in dims.items()})

    def forward(self, inputs: Mapping[str, Encoded]) -> Fused:
        """``pooled`` (B, D_m) each -> Fused with a view (B, H) for each modality."""
        masks = {m: x.present for m, x in inputs.items()}
        views = {m: self.project[m](x.pooled, masks[m]) for m, x in inputs.items()}
        pooled = masked_mean(torch.stack(list(views.values()), 1), torch.stack(list(masks.values()), 1))
        return Fused(pooled, views=views, view_masks=masks)
