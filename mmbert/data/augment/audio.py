"""Data augmentation for audio: shifts in time, white noise, gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.data.augment.base import InputAugmentation


@dataclass
class AudioAugmentation(InputAugmentation):
    """Options of ``augment.audio``: what happens to a training sound, in this order. Its length stays.

    Attributes:
        shift_seconds: at most so much later, after silence, or earlier, its beginning cut off.
        noise_snr_db: ``[low, high]`` decibels that the sound lies above white noise put under it; None = no noise.
        gain_db: at most so many decibels louder or softer.

    Raises:
        ConfigError: an option lies outside its range.
    """

    shift_seconds: Annotated[float, Range(0)] = 0.0
    noise_snr_db: tuple[float, float] | list[float] | None = None
    gain_db: Annotated[float, Range(0)] = 0.0

    def __post_init__(self) -> None:
        for name, value in (("shift_seconds", self.shift_seconds), ("gain_db", self.gain_db)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"augment.audio.{name}={value} must be at least 0.")
        pair = self.noise_snr_db
        if pair is not None and not (len(pair) == 2 and pair[0] <= pair[1]):
            raise ConfigError(f"augment.audio.noise_snr_db={list(pair)} must be [low, high] in decibels.")

    @property
    def active(self) -> bool:
        """Whether anything happens."""
        return bool(self.shift_seconds or self.gain_db or self.noise_snr_db is not None)

    def prepare(self, raw: tuple[np.ndarray, int], processor: Any, random: np.random.Generator) -> Any:
        """See ``InputAugmentation``."""
        prepared = processor.prepare(raw)
        if not self.active:
            return prepared
        assert isinstance(prepared, Tensor)
        return self(prepared, processor.sample_rate_hz, random)

    def __call__(self, waveform: Tensor, sample_rate_hz: int, generator: np.random.Generator) -> Tensor:
        """(T,) float32 at a rate in hertz -> (T,) float32."""
        shift, snr, gain = generator.uniform(-1, 1), generator.uniform(0, 1), generator.uniform(-1, 1)
        if self.shift_seconds:
            waveform = shifted(waveform, round(shift * self.shift_seconds * sample_rate_hz))
        if self.noise_snr_db is not None:
            low, high = self.noise_snr_db
            noise = torch.from_numpy(generator.standard_normal(len(waveform), np.float32))
            level = waveform.square().mean().sqrt() * 10 ** (-(low + snr * (high - low)) / 20)
            waveform = waveform + level * noise
        if self.gain_db:
            waveform = waveform * 10 ** (gain * self.gain_db / 20)
        return waveform


def shifted(waveform: Tensor, samples: int) -> Tensor:
    """(T,) -> (T,) so many samples later (earlier where negative), silence where nothing is left."""
    moved = torch.zeros_like(waveform)
    length = len(waveform) - abs(samples)
    if length > 0:
        source, target = max(0, -samples), max(0, samples)
        moved[target : target + length] = waveform[source : source + length]
    return moved
