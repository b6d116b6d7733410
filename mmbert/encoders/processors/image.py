"""``ImageProcessor``: pictures are resized and normalised as the image network's training images were."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.types import Inputs

if TYPE_CHECKING:
    from PIL.Image import Image

Fit = Literal["crop", "stretch", "pad"]
#: Pixels of a whole picture at its final scale; more are not computed only to be cut off.
MOST_SCALED = 2**24


class ImageProcessor:
    """An upright RGB picture -> (3, height, width) float32.

    Args:
        size: height and width in pixels.
        mean: of each colour, full scale = 1.
        std: of each colour.
        interpolation: a PIL name in lower case: nearest, bilinear, bicubic, lanczos ...
        crop_pct: with ``fit="crop"``, the share of the shorter side that stays.
        fit: how a picture of another shape gets this size: ``crop`` = scaled by its shorter side and cut around its
            centre, as timm evaluates; ``stretch`` = all of it, out of proportion; ``pad`` = all of it in
            proportion, the rest in the mean colour.
    """

    kind: str = "image"
    #: Colours of 0 to 255, and the height and width that they make.
    packed: ClassVar[tuple[str, str, int]] = ("uint8", "int32", 2)

    def __init__(
        self,
        size: tuple[int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        interpolation: str = "bicubic",
        crop_pct: float = 1.0,
        fit: Fit = "crop",
    ) -> None:
        if fit not in get_args(Fit):
            raise ConfigError(f"fit={fit} is unknown for pictures. {nearest(fit, get_args(Fit))}")
        self.size = (int(size[0]), int(size[1]))
        self.mean = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1)
        self.interpolation = interpolation
        self.crop_pct = float(crop_pct)
        self.fit = fit

    def prepare(self, raw: Image) -> Tensor:
        """Picture in mode RGB -> (3, height, width), scaled and normalised."""
        return self.full(self.pack(raw)[0])

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        numbers = {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}
        return {"size": self.size, "by": self.interpolation, "crop_pct": self.crop_pct, "fit": self.fit, **numbers}

    def pack(self, raw: Image) -> tuple[np.ndarray, np.ndarray]:
        """Picture -> its colours at their final scale (height, width, 3)."""
        if getattr(raw, "mode", None) != "RGB":
            got = f"mode {raw.mode}" if hasattr(raw, "mode") else type(raw).__name__
            raise InputError(f"A picture must be a PIL image in mode RGB, not {got}: use image.convert('RGB').")
        placed = np.asarray(self._place(raw), dtype=np.uint8)
        return placed, np.array(placed.shape[:2], np.int32)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray | Tensor:
        """Colours of 0 to 255 -> (height, width, 3) uint8 as they are; a smaller picture -> as ``prepare`` gives it."""
        colours = long.reshape(int(fixed[0]), int(fixed[1]), 3)
        return colours if colours.shape[:2] == self.size else self.full(colours)

    def full(self, colours: np.ndarray) -> Tensor:
        """Colours at their final scale -> (3, height, width), normalised; 0, the mean colour, around a smaller one."""
        height, width = self.size
        pixels = self.normalise(colours)
        if pixels.shape[1:] == (height, width):
            return pixels
        full = torch.zeros(3, height, width)
        top, left = (height - pixels.shape[1]) // 2, (width - pixels.shape[2]) // 2
        full[:, top : top + pixels.shape[1], left : left + pixels.shape[2]] = pixels
        return full

    def normalise(self, image: Image | np.ndarray) -> Tensor:
        """Picture in mode RGB -> (3, height, width) float32 as the network's colours are, at its own size."""
        planes = np.asarray(image, dtype=np.uint8).transpose(2, 0, 1).copy()  # one plane a colour: stacked much faster
        return torch.from_numpy(planes).float().div_(255).sub_(self.mean).div_(self.std)

    def _place(self, image: Image) -> Image:
        """The picture at its final scale: exactly ``size``, or smaller in one direction with ``fit="pad"``."""
        from PIL.Image import Resampling

        height, width = self.size
        how = Resampling[self.interpolation.upper()]
        if self.fit == "stretch":
            return image if image.size == (width, height) else image.resize((width, height), how)
        if self.fit == "pad":
            scale = min(height / image.height, width / image.width)
            target = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            return image if image.size == target else image.resize(target, how)
        # as timm: the frame that is cut out is crop_pct of what was scaled
        scale = max(math.floor(height / self.crop_pct) / image.height, math.floor(width / self.crop_pct) / image.width)
        target = (max(width, int(image.width * scale + 1e-6)), max(height, int(image.height * scale + 1e-6)))
        left, top = round((target[0] - width) / 2), round((target[1] - height) / 2)
        if target[0] * target[1] > MOST_SCALED:  # of a picture like a line only what stays is scaled
            across, down = image.width / target[0], image.height / target[1]
            right, lower = min(image.width, (left + width) * across), min(image.height, (top + height) * down)
            return image.resize((width, height), how, (left * across, top * down, right, lower))
        if image.size != target:
            image = image.resize(target, how)
        return image.crop((left, top, left + width, top + height))

    def collate(self, prepared: list[Tensor | np.ndarray | None]) -> Inputs:
        """Pictures (None = missing) -> pixels (B, 3, height, width) float, mask (B, 1) bool."""
        mask = torch.tensor([[image is not None] for image in prepared])
        if any(isinstance(image, np.ndarray) for image in prepared):
            return {"pixels": self._normalised(prepared), "mask": mask}
        nothing = torch.zeros(3, *self.size)
        whole = [image if isinstance(image, Tensor) else nothing for image in prepared]
        return {"pixels": torch.stack(whole), "mask": mask}

    def _normalised(self, prepared: list[Tensor | np.ndarray | None]) -> Tensor:
        """Pictures of which some are uint8 colours -> pixels (B, 3, height, width), normalised all at once.

        The result has the memory format ``torch.channels_last``, which convolutions read fastest.
        """
        colours = np.zeros((len(prepared), *self.size, 3), np.uint8)
        for place, image in enumerate(prepared):
            if isinstance(image, np.ndarray):
                colours[place] = image
        pixels = torch.from_numpy(colours).permute(0, 3, 1, 2).float().div_(255).sub_(self.mean).div_(self.std)
        for place, image in enumerate(prepared):
            if not isinstance(image, np.ndarray):
                pixels[place] = 0 if image is None else image
        return pixels
