"""Waveforms on their way to an audio encoder: one rate, padded, with a mask of real samples."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmbert.core.types import Inputs
from mmbert.data.processor import Kind


class AudioProcessor:
    """Sounds -> waveforms at the encoder's rate, padded to the longest of the batch.

    Args:
        sample_rate_hz: the encoder's rate.
        max_seconds: longer sounds are cut.
    """

    kind: Kind = "audio"

    def __init__(self, sample_rate_hz: int, max_seconds: float) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.max_seconds = max_seconds

    def prepare(self, raw: tuple[np.ndarray, int]) -> Tensor:
        """(samples (T,), hertz) -> (T',) float32 at the encoder's rate."""
        samples, rate = raw
        wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[: int(np.ceil(self.max_seconds * rate))]
        if rate != self.sample_rate_hz:
            wave = resampler(rate, self.sample_rate_hz)(wave)
        return wave[: round(self.max_seconds * self.sample_rate_hz)]

    def collate(self, prepared: list[Tensor | None]) -> Inputs:
        """B sounds -> ``waveform`` (B, T) and ``mask`` (B, T); a missing sound has an empty mask row."""
        lengths = [0 if wave is None else len(wave) for wave in prepared]
        longest = max(1, *lengths) if lengths else 1
        waveform = torch.zeros(len(prepared), longest)
        for row, wave in enumerate(prepared):
            if wave is not None:
                waveform[row, : len(wave)] = wave
        return {"waveform": waveform, "mask": torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)}


@functools.lru_cache(maxsize=16)
def resampler(rate_hz: int, wanted_hz: int) -> Callable[[Tensor], Tensor]:
    """torchaudio's windowed-sinc resampling, its kernel computed once for each pair of rates."""
    from torchaudio.transforms import Resample

    resample: Callable[[Tensor], Tensor] = Resample(rate_hz, wanted_hz)
    return resample
