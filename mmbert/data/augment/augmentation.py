"""What a training sample goes through before it is prepared. Every draw depends on seed, epoch and row alone.

So the same run gives the same samples with any number of loader workers, and a resumed run goes on with the samples
that the interrupted one would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Inputs
from mmbert.data.augment.audio import SoundChanges
from mmbert.data.augment.image import PictureChanges
from mmbert.data.modalities.processor import Processor

#: What draws of one sample are for, so that changing one option leaves the others' draws as they are.
PURPOSES = {"modalities": 0, "image": 1, "audio": 2, "text": 3}


class Augmentation:
    """Options of the config group ``augment``.

    Args:
        image: options of ``PictureChanges``, for every encoder of kind image.
        audio: options of ``SoundChanges``, for every encoder of kind audio.
        text: ``{"mask": share}``: so many of the tokens become the tokenizer's mask token, special ones excepted.
        modality_dropout: chance that a sample loses a modality, each for itself: a number, or one by encoder name.
            A sample never loses all (Neverova et al. 2016, arXiv:1501.00102, ModDrop).

    Raises:
        ConfigError: an option lies outside its range.
    """

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        text: Mapping[str, float] | None = None,
        modality_dropout: float | Mapping[str, float] = 0.0,
    ) -> None:
        self.pictures = PictureChanges(**(image or {}))
        self.sounds = SoundChanges(**(audio or {}))
        self.mask = float((text or {}).get("mask", 0.0))
        self.modality_dropout = modality_dropout
        shares = modality_dropout.values() if isinstance(modality_dropout, Mapping) else [modality_dropout]
        for name, value in [("text.mask", self.mask), *(("modality_dropout", float(share)) for share in shares)]:
            if not 0 <= value < 1:
                raise ConfigError(f"augment.{name}={value} must be at least 0 and below 1.")

    @property
    def active(self) -> bool:
        """Whether anything happens."""
        dropout = self.modality_dropout
        drops = any(dropout.values()) if isinstance(dropout, Mapping) else bool(dropout)
        return bool(self.pictures.active or self.sounds.active or self.mask or drops)

    def changes(self, kind: str) -> bool:
        """Whether inputs of a kind are changed; modalities that are left out are not."""
        return {"image": self.pictures.active, "audio": self.sounds.active, "text": bool(self.mask)}.get(kind, False)

    def check(self, processors: Mapping[str, Processor]) -> None:
        """Refuses what the encoders at hand cannot do.

        Raises:
            ConfigError: names the encoder.
        """
        if isinstance(self.modality_dropout, Mapping):
            strange = [name for name in self.modality_dropout if name not in processors]
            if strange:
                raise ConfigError(
                    f"augment.modality_dropout names '{strange[0]}', which is no encoder: {', '.join(processors)}."
                )
        for name, processor in processors.items():
            if processor.kind == "image" and self.pictures.active and not hasattr(processor, "normalise"):
                raise ConfigError(f"augment.image cannot change what the encoder '{name}' prepares by itself.")
            if processor.kind == "text" and self.mask and not hasattr(processor, "mask_tokens"):
                raise ConfigError(f"augment.text.mask cannot change what the encoder '{name}' prepares by itself.")

    def kept(self, present: Sequence[str], draw: int) -> list[str]:
        """Those of a sample's modalities that stay: at least one."""
        chances = [self._chance(name) for name in present]
        if not any(chances):
            return list(present)
        generator = numbers(draw, "modalities")
        stay = [name for name, chance in zip(present, chances, strict=True) if generator.random() >= chance]
        return stay or [present[int(generator.integers(len(present)))]]

    def _chance(self, name: str) -> float:
        if isinstance(self.modality_dropout, Mapping):
            return float(self.modality_dropout.get(name, 0.0))
        return float(self.modality_dropout)

    def prepare(self, raw: Any, processor: Processor, draw: int) -> Any:
        """A sample's raw value -> what ``processor.prepare`` gives for a changed one."""
        if processor.kind == "image" and self.pictures.active:
            with seeded(numbers(draw, "image")):
                return self.pictures(raw, processor)
        prepared = processor.prepare(raw)
        if processor.kind == "audio" and self.sounds.active:
            assert isinstance(prepared, Tensor)
            return self.sounds(prepared, processor.sample_rate_hz, numbers(draw, "audio"))  # type: ignore[attr-defined]
        return prepared

    def collated(self, inputs: Inputs, processor: Processor, draws: Sequence[int]) -> Inputs:
        """A batch of one modality, changed where that is easier than sample by sample: tokens become mask tokens."""
        if processor.kind != "text" or not self.mask:
            return inputs
        changed: Inputs = processor.mask_tokens(inputs, self.mask, [numbers(draw, "text") for draw in draws])  # type: ignore[attr-defined]
        return changed


def sample_draw(seed: int, epoch: int, row: int) -> int:
    """A number from which all of a sample's draws in one epoch follow."""
    return int(np.random.SeedSequence([abs(seed), epoch, row]).generate_state(1, np.uint64)[0])


def numbers(draw: int, purpose: str) -> np.random.Generator:
    """The random numbers of one sample for one purpose."""
    return np.random.default_rng([draw, PURPOSES[purpose]])


@contextmanager
def seeded(generator: np.random.Generator) -> Iterator[None]:
    """Lets libraries that draw from global generators draw from ours; the global states are put back."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(generator.integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
