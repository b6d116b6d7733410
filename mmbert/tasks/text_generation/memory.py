"""What a decoder attends to: the joint vector and the fused tokens of all modalities, one after the other."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.types import Fused


class FusedMemory(nn.Module):
    """Fused tokens, projected to the decoder's width, each with a vector that says of which modality it is.

    Args:
        in_dim: width H of the fused tokens.
        width: D of the decoder.
        modalities: their names; tokens by any other name, such as a strategy's own latents, share one more vector.
    """

    def __init__(self, in_dim: int, width: int, modalities: Iterable[str]) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.project = nn.Linear(in_dim, width)
        self.origin = nn.Embedding(len(self.modalities) + 2, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fused: Fused) -> tuple[Tensor, Tensor]:
        """``pooled`` (B, H), ``tokens`` (B, L_m, H) by modality -> (B, 1 + Σ L_m, D) and their mask (B, 1 + Σ L_m).

        The joint vector comes first, so that no sample is without anything to attend to.
        """
        names = sorted(fused.tokens, key=self.place)
        parts = [fused.pooled.unsqueeze(1), *(blank(fused.tokens[name], fused.masks[name]) for name in names)]
        masks = [fused.pooled.new_ones(len(fused.pooled), 1, dtype=torch.bool), *(fused.masks[name] for name in names)]
        places = torch.tensor([0, *map(self.place, names)], device=fused.pooled.device)
        lengths = torch.tensor([part.shape[1] for part in parts], device=fused.pooled.device)
        origins = self.origin(places.repeat_interleave(lengths))  # (1 + Σ L_m, D)
        return self.norm(self.project(torch.cat(parts, 1)) + origins), torch.cat(masks, 1)

    def place(self, name: str) -> int:
        """Which of the vectors a modality has: 0 is the joint vector's."""
        return 1 + (self.modalities.index(name) if name in self.modalities else len(self.modalities))
