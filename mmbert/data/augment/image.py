"""Data augmentation for images, by the transforms of timm and torchvision."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.data.augment.base import InputAugmentation

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass
class ImageAugmentation(InputAugmentation):
    """Options of ``augment.image``: what happens to a training image, in this order.

    Attributes:
        crop: ``[low, high]``, the share of the picture's area that a random part of it covers (random resized crop,
            Szegedy et al. 2015, arXiv:1409.4842); None = the encoder's own fit.
        crop_ratio: width over height of that part.
        flip: chance of a mirror image.
        rand_augment: timm's notation for RandAugment (Cubuk et al. 2020, arXiv:1909.13719), such as ``rand-m7-n2``.
        erasing: chance that a rectangle becomes noise (Zhong et al. 2020, arXiv:1708.04896).

    Raises:
        ConfigError: an option lies outside its range.
    """

    crop: tuple[float, float] | list[float] | None = None
    crop_ratio: tuple[float, float] | list[float] = (3 / 4, 4 / 3)
    flip: Annotated[float, Range(0, 1)] = 0.0
    rand_augment: str | None = None
    erasing: Annotated[float, Range(0, 1)] = 0.0
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, chance in (("flip", self.flip), ("erasing", self.erasing)):
            if not 0 <= chance <= 1:
                raise ConfigError(f"augment.image.{name}={chance} must be from 0 to 1.")
        for name, pair, most in (("crop", self.crop, 1.0), ("crop_ratio", self.crop_ratio, float("inf"))):
            if pair is not None and not (len(pair) == 2 and 0 < pair[0] <= pair[1] <= most):
                limit = " and at most 1" if most == 1 else ""
                raise ConfigError(f"augment.image.{name}={list(pair)} must be [low, high], above 0{limit}.")
        if self.rand_augment is not None:
            self._rand_augment((32, 32), (0.5, 0.5, 0.5))

    @property
    def active(self) -> bool:
        """Whether anything happens."""
        return bool(self.crop or self.flip or self.rand_augment or self.erasing)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": {}}

    def check(self, encoder: str, processor: Any) -> None:
        """Refuses a processor that cannot normalise a changed image.

        Raises:
            ConfigError: names the encoder.
        """
        if self.active and not hasattr(processor, "normalise"):
            raise ConfigError(f"augment.image cannot change what the encoder '{encoder}' prepares by itself.")

    def prepare(self, raw: Image, processor: Any, random: np.random.Generator) -> Any:
        """See ``InputAugmentation``."""
        if not self.active:
            return processor.prepare(raw)
        with seeded(random):
            return self(raw, processor)

    def __call__(self, image: Image, processor: Any) -> Tensor:
        """Picture in mode RGB -> (3, height, width), changed, scaled and normalised by the encoder's processor."""
        if self.crop is not None:
            image = self._once("crop", lambda: self._crop(processor))(image)
        if self.flip and float(torch.rand(())) < self.flip:
            from PIL import ImageOps

            image = ImageOps.mirror(image)
        if self.rand_augment is not None:
            mean = tuple(float(value) for value in processor.mean.flatten())
            image = self._once("rand", lambda: self._rand_augment(processor.size, mean))(image)
        pixels: Tensor = processor.normalise(image) if self.crop is not None else processor.prepare(image)
        if self.erasing:
            pixels = self._once("erase", self._eraser)(pixels)
        return pixels

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _crop(self, processor: Any) -> Any:
        from torchvision.transforms import InterpolationMode, RandomResizedCrop

        how = InterpolationMode(processor.interpolation)
        return RandomResizedCrop(processor.size, tuple(self.crop or ()), tuple(self.crop_ratio), how)

    def _rand_augment(self, size: tuple[int, int], mean: tuple[float, ...]) -> Any:
        from timm.data.auto_augment import rand_augment_transform

        words = str(self.rand_augment)
        colour = tuple(min(255, round(255 * value)) for value in mean)
        try:
            if not words.startswith("rand-"):
                raise ValueError("it begins with rand-")
            return rand_augment_transform(words, {"translate_const": int(min(size) * 0.45), "img_mean": colour})
        except (AssertionError, ValueError, KeyError) as error:
            raise ConfigError(
                f"augment.image.rand_augment={words} is not in timm's words for RandAugment, such as rand-m7-n2"
                + (f" ({error})." if str(error) else ".")
            ) from error

    def _eraser(self) -> Any:
        from timm.data.random_erasing import RandomErasing

        return RandomErasing(self.erasing, mode="pixel", device="cpu")


@contextmanager
def seeded(random: np.random.Generator) -> Iterator[None]:
    """Lets libraries that draw from global generators draw from ours; the global states are put back."""
    states = python_random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(random.integers(2**32))
    python_random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        python_random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
