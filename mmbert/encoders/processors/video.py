"""``VideoProcessor``: some moments of a clip, each prepared as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Inputs
from mmbert.data.modalities.clips import MovingPictures
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.video import MODALITY as VIDEO
from mmbert.encoders.processors.image import ImageProcessor


class VideoProcessor:
    """A clip -> pictures (T, 3, height, width) float32 and their moments.

    With ``frames`` alone every clip gives so many pictures, from the middles of as many equal stretches (as temporal
    segment networks are evaluated, Wang et al. 2016, arXiv:1608.00859). With ``frames_per_second`` a clip gives so many
    pictures a second, from the middles of these stretches, and at most ``frames``; at least one.

    Args:
        pictures: how each is prepared.
        frames: pictures of a clip, or the most.
        frames_per_second: how many a second; None = ``frames``, however long the clip is.
        max_seconds: no more of a clip is read; None = all.
    """

    kind: str = "video"
    #: Colours of 0 to 255; pictures, height, width and the clip's length in milliseconds.
    packed: ClassVar[tuple[str, str, int]] = ("uint8", "int32", 4)

    def __init__(
        self,
        pictures: ImageProcessor,
        frames: int = 8,
        frames_per_second: float | None = None,
        max_seconds: float | None = None,
    ) -> None:
        if frames < 1 or frames_per_second is not None and not frames_per_second > 0:
            raise ConfigError(f"frames={frames}, frames_per_second={frames_per_second}: both must be above 0.")
        self.pictures = pictures
        self.frames = frames
        self.frames_per_second = frames_per_second
        self.max_seconds = max_seconds

    @property
    def length_limit(self) -> LengthLimit | None:
        """See ``Cutting``."""
        return frames_limit(self.frames, self.frames_per_second, self.max_seconds)

    def moments(self, seconds: float) -> list[float]:
        """When the pictures of a clip of this length are taken, in seconds from its beginning."""
        if self.frames_per_second is None:
            count, step = self.frames, seconds / self.frames
        else:
            step = 1 / self.frames_per_second
            count = min(self.frames, int(seconds * self.frames_per_second + 0.5))  # a stretch counts if its middle does
            if not count:
                return [seconds / 2]
        return [(place + 0.5) * step for place in range(count)]

    def prepare(self, raw: MovingPictures) -> dict[str, Tensor]:
        """A clip -> ``pictures`` (T, 3, height, width) and ``times`` (T,) in seconds."""
        return self.unpack(*self.pack(raw))

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        own = {"frames": self.frames, "frames_per_second": self.frames_per_second, "max_seconds": self.max_seconds}
        return {"pictures": self.pictures.settings(), **own}

    def pack(self, raw: MovingPictures) -> tuple[np.ndarray, np.ndarray]:
        """A clip -> the colours of its pictures at their final scale (T, height, width, 3)."""
        milliseconds = max(1, round(1000 * raw.seconds))
        colours = [self.pictures.pack(image)[0] for image in raw.frames(self.moments(milliseconds / 1000))]
        stack = np.stack(colours)
        return stack, np.array([*stack.shape[:3], milliseconds], np.int32)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> dict[str, Tensor]:
        """See ``prepare``."""
        count, height, width, milliseconds = map(int, fixed)
        stack = long.reshape(count, height, width, 3)
        pixels = torch.stack([self.pictures.full(colours) for colours in stack])
        times = torch.tensor(self.moments(milliseconds / 1000), dtype=torch.float32)
        return {"pictures": pixels, "times": times}

    def collate(self, prepared: list[dict[str, Tensor] | None]) -> Inputs:
        """Clips (None = missing) -> pictures (B, T, 3, height, width), times (B, T) in seconds, mask (B, T) bool."""
        longest = max([1, *(len(clip["times"]) for clip in prepared if clip is not None)])
        pictures = torch.zeros(len(prepared), longest, 3, *self.pictures.size)
        times = torch.zeros(len(prepared), longest)
        mask = torch.zeros(len(prepared), longest, dtype=torch.bool)
        for row, clip in enumerate(prepared):
            if clip is not None:
                count = len(clip["times"])
                pictures[row, :count], times[row, :count], mask[row, :count] = clip["pictures"], clip["times"], True
        return {"pictures": pictures, "times": times, "mask": mask}


def frames_limit(frames: int, frames_per_second: float | None, max_seconds: float | None) -> LengthLimit | None:
    """Where clips are cut; None = nowhere.

    Args:
        frames: the most of a clip.
        frames_per_second: None = they are spread over all of it.
        max_seconds: None = all.
    """
    by_frames = None if frames_per_second is None else frames / frames_per_second
    if by_frames is not None and (max_seconds is None or by_frames < max_seconds):
        option, most = "frames", by_frames
    elif max_seconds is not None:
        option, most = "max_seconds", max_seconds
    else:
        return None

    def measure(cells: Sequence[Any], folder: Path) -> list[float]:
        return [round(VIDEO.length(cell, folder), 3) for cell in cells]

    return LengthLimit(option, most, "seconds", measure)
