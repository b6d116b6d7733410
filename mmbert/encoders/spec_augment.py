"""SpecAugment: ranges of time and of mel bands are masked in training (Park et al. 2019, arXiv:1904.08779).

Log-mel frames are centred, so that the mask's value, 0, is the mean. Of the paper's three augmentations the least
effective, time warping, is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError


class SpecAugment(nn.Module):
    """Masks frames (B, L, N) in training mode; in evaluation mode it changes nothing.

    Args:
        bands: F, the most mel bands that a mask covers; its width is drawn evenly from 0 to F.
        frames: T, the most frames that a mask covers, likewise.
        count: masks of either kind for each sound.
        share: p, the most of a sound's real frames that one mask covers.

    Raises:
        ConfigError: an option lies outside its range.
    """

    def __init__(self, bands: int = 8, frames: int = 10, count: int = 2, share: float = 0.5) -> None:
        super().__init__()
        for name, value in (("bands", bands), ("frames", frames), ("count", count)):
            if value < 0:
                raise ConfigError(f"spec_augment.{name}={value} must be at least 0.")
        if not 0 <= share <= 1:
            raise ConfigError(f"spec_augment.share={share} must be from 0 to 1.")
        self.bands, self.frames, self.count, self.share = bands, frames, count, share

    def forward(self, frames: Tensor, real: Tensor) -> Tensor:
        """frames (B, L, N), real (B, L) -> (B, L, N)."""
        if not self.training:
            return frames
        size = torch.full((len(frames),), frames.shape[2], device=frames.device)
        length = real.sum(1)
        longest = (self.share * length).floor().clamp(max=self.frames)
        for _ in range(self.count):
            frames = frames.masked_fill(stretch(frames.shape[2], size, size.clamp(max=self.bands))[:, None, :], 0.0)
            frames = frames.masked_fill(stretch(frames.shape[1], length, longest)[:, :, None], 0.0)
        return frames


def stretch(places: int, length: Tensor, longest: Tensor) -> Tensor:
    """(B, places) bool: one stretch a row, as long as drawn from 0 to ``longest`` (B,), inside its ``length`` (B,)."""
    width = (torch.rand(len(length), device=length.device) * (longest + 1)).floor()
    start = (torch.rand(len(length), device=length.device) * (length - width + 1)).floor()
    place = torch.arange(places, device=length.device)
    return (place >= start[:, None]) & (place < (start + width)[:, None])
