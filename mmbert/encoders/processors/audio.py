"""``AudioProcessor``: sounds of any rate become waveforms at an encoder's rate, padded to the longest of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.types import Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.sound_files import HIGHEST_HERTZ
from mmbert.encoders.processors.lengths import seconds_limit
from mmbert.encoders.processors.token_grid import TokenGrid

#: A resampling filter bank larger than this (both rates divided by their common divisor, multiplied) is not built.
MAX_KERNEL = 4_000_000
#: Filter banks that are kept, one for each rate met; a table has few rates.
MOST_KERNELS = 16


class AudioProcessor:
    """One-channel waveforms at one rate.

    Args:
        sample_rate_hz: the encoder's sample rate.
        max_seconds: longer sounds are cut.
        min_samples: shorter sounds are followed by silence up to this length, in samples at ``sample_rate_hz``: what
            the encoder needs for its first token.
        grid: which moment each of the encoder's tokens is about; None = unknown: no task can be aligned to them.
    """

    kind: str = "audio"
    packed: ClassVar[tuple[str, str, int]] = ("float32", "int8", 0)

    def __init__(
        self, sample_rate_hz: int, max_seconds: float, min_samples: int, grid: TokenGrid | None = None
    ) -> None:
        if max_seconds * sample_rate_hz < min_samples:
            raise ConfigError(
                f"max_seconds={max_seconds} is too short: it needs {min_samples / sample_rate_hz:.3f} or more."
            )
        self.sample_rate_hz = int(sample_rate_hz)
        self.max_seconds = float(max_seconds)
        self.min_samples = int(min_samples)
        self.grid = grid
        self._resamplers: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_resamplers": {}}  # workers build the filters that they meet

    def prepare(self, raw: tuple[np.ndarray, int]) -> Tensor:
        """(waveform (T,) float32, its rate in hertz) -> (T',) float32 at ``sample_rate_hz``."""
        samples, rate_hz = raw
        waveform = torch.as_tensor(samples, dtype=torch.float32)
        if waveform.ndim != 1:
            raise InputError(f"A sound must have one channel, shape (T,), but has the shape {tuple(waveform.shape)}.")
        if not 1 <= rate_hz <= HIGHEST_HERTZ:
            raise InputError(f"A sound's rate must lie from 1 to {HIGHEST_HERTZ:,} Hz, not at {rate_hz:,}.")
        # the sum of squares is many times faster; it is finite unless a sample is not, or is larger than any real one
        if not math.isfinite(float(waveform.dot(waveform))) and not bool(waveform.isfinite().all()):
            raise InputError("A sound has samples that are NaN or infinite.")
        # cut before resampling, with a margin for the filter, so that an hour of sound costs no more than is used
        waveform = waveform[: math.ceil((self.max_seconds + 0.1) * rate_hz)]
        waveform = self._resample(waveform, int(rate_hz))[: int(self.max_seconds * self.sample_rate_hz)]
        lacking = self.min_samples - len(waveform)
        return torch.nn.functional.pad(waveform, (0, lacking)) if lacking > 0 else waveform.contiguous()

    def alignment(self, raw: tuple[np.ndarray, int]) -> dict[str, Any]:
        """See ``Aligned``: ``times`` (L, 2) float64, and ``max_seconds``, where longer sounds are cut; in seconds.

        Raises:
            ConfigError: the encoder does not say which moment a token is about.
        """
        return self.alignment_of(self.prepare(raw))

    def alignment_of(self, prepared: Tensor | np.ndarray) -> dict[str, Any]:
        """See ``AlignedAsPrepared``: of a waveform (T,) at ``sample_rate_hz``."""
        return self._times(self._grid().count(len(prepared)))

    def alignment_of_tokens(self, count: int) -> dict[str, Any]:
        """See ``AlignedAsPrepared``: of a sound whose encoder gave so many tokens."""
        return self._times(count)

    def _times(self, count: int) -> dict[str, Any]:
        return {"times": self._grid().times(count), "max_seconds": self.max_seconds}

    def _grid(self) -> TokenGrid:
        if self.grid is None:
            raise ConfigError("This encoder does not say when its tokens are: give its AudioProcessor a TokenGrid.")
        return self.grid

    @property
    def length_limit(self) -> LengthLimit:
        """See ``Cutting``."""
        return seconds_limit(self.max_seconds)

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        return {"hertz": self.sample_rate_hz, "seconds": self.max_seconds, "min_samples": self.min_samples}

    def pack(self, raw: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray]:
        """The waveform (T',) at the encoder's rate."""
        return self.prepare(raw).numpy(), np.zeros(0, np.int8)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (T',)."""
        return long

    def _resample(self, waveform: Tensor, rate_hz: int) -> Tensor:
        if rate_hz == self.sample_rate_hz or not len(waveform):
            return waveform
        near = nearest_rate(rate_hz, self.sample_rate_hz)
        if near not in self._resamplers:
            from torchaudio.transforms import Resample

            if len(self._resamplers) >= MOST_KERNELS:
                self._resamplers.clear()
            self._resamplers[near] = Resample(near, self.sample_rate_hz)
        resampled: Tensor = self._resamplers[near](waveform)
        return resampled

    def collate(self, prepared: list[Tensor | np.ndarray | None]) -> Inputs:
        """Sounds (None = missing) -> waveform (B, T) float, mask (B, T) bool, True where there is sound."""
        waveform, mask = padded(prepared, self.min_samples)
        return {"waveform": waveform, "mask": mask}


def nearest_rate(rate_hz: int, target_hz: int) -> int:
    """The rate nearest to a sound's own from which a filter of at most ``MAX_KERNEL`` numbers leads to the target.

    Of ordinary rates it is the rate itself. 22,051 Hz has no small filter to 16,000; 22,050, 0.005 % off, has one.
    """
    for off in range(rate_hz + target_hz):
        for near in (rate_hz - off, rate_hz + off):
            if near > 0 and near * target_hz // math.gcd(near, target_hz) ** 2 <= MAX_KERNEL:
                return near
    return target_hz


def padded(parts: Sequence[Tensor | np.ndarray | None], shortest: int, *width: int) -> tuple[Tensor, Tensor]:
    """Sequences (L, *width) of float32, None = there is none -> (B, L', *width), zeros after their ends; mask (B, L').

    Args:
        parts: one a sample, as tensors on the CPU or arrays.
        shortest: L' is at least this.
        *width: of each step.
    """
    lengths = np.array([0 if part is None else len(part) for part in parts])
    longest = max(shortest, int(lengths.max(initial=0)))
    whole = np.zeros((len(parts), longest, *width), np.float32)
    for row, part in enumerate(parts):
        if part is not None:
            whole[row, : lengths[row]] = part
    return torch.from_numpy(whole), torch.from_numpy(np.arange(longest) < lengths[:, None])
