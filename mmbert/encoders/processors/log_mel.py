"""``LogMel`` and its processor: log-mel frames from real samples only, so that they do not depend on the batch."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.types import Inputs, Tensors
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.audio import AudioProcessor, padded
from mmbert.encoders.processors.token_grid import TokenGrid

#: Added to the power of each band before its logarithm: what digital silence has.
FLOOR = 1e-6


class LogMel(nn.Module):
    """Waveform -> log-mel frames, normalised within the sound.

    A frame exists where its whole window lies inside the sound; nothing is padded or mirrored at the ends. Each mel
    band loses its mean over the sound (microphone and room), and all bands together are scaled to unit variance
    (loudness).

    Args:
        sample_rate_hz: of the waveform.
        num_mels: mel bands.
        window_seconds: length of a frame's window.
        hop_seconds: from one frame to the next.

    Attributes:
        window: samples in a window, the least that gives a frame.
    """

    def __init__(self, sample_rate_hz: int, num_mels: int, window_seconds: float, hop_seconds: float) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.window = round(sample_rate_hz * window_seconds)
        self.hop = round(sample_rate_hz * hop_seconds)
        self.mel = MelSpectrogram(
            sample_rate_hz, n_fft=self.window, hop_length=self.hop, n_mels=num_mels, f_min=20.0, center=False
        )

    def forward(self, waveform: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """waveform (B, T), mask (B, T) True up to each sound's end -> frames (B, L, num_mels), their mask (B, L)."""
        frames, real = self.raw_frames(waveform, mask)
        with torch.autocast(waveform.device.type, enabled=False):
            return standardise_frames(frames, real), real

    def silence(self, waveform: Tensor, mask: Tensor) -> Tensor:
        """What ``forward`` would give of silence in place of each frame, by the norm of the sound: (B, L, num_mels)."""
        frames, real = self.raw_frames(waveform, mask)
        mean, scale = frame_statistics(frames, real)
        return ((math.log(FLOOR) - mean) * scale).expand_as(frames)

    def raw_frames(self, waveform: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same before it is normalised: no frame depends on a sample outside its window."""
        with torch.autocast(waveform.device.type, enabled=False):  # powers of a spectrum need float32's range
            power = self.mel(blank(waveform, mask).float())  # (B, num_mels, L)
            frames = (power + FLOOR).log().mT  # (B, L, num_mels)
            real = mask[:, self.window - 1 :: self.hop]  # (B, L): a frame is real if its last sample is
            return frames, real


@cache
def log_mel_of(sample_rate_hz: int, num_mels: int, window: int, hop: int) -> LogMel:
    """One ``LogMel`` a process for each shape, for who only reads it; window and hop in samples."""
    return LogMel(sample_rate_hz, num_mels, window / sample_rate_hz, hop / sample_rate_hz)


def standardise_frames(frames: Tensor, real: Tensor) -> Tensor:
    """frames (B, L, N), real (B, L) -> each band without its mean, unit variance over all, zeros where not real."""
    mean, scale = frame_statistics(frames, real)
    return blank(frames - mean, real) * scale


def frame_statistics(frames: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """frames (B, L, N), real (B, L) -> the mean of each band (B, 1, N), and 1 / deviation of all together (B, 1, 1)."""
    count = real.sum(1).clamp(min=1).view(-1, 1, 1)
    mean = blank(frames, real).sum(1, keepdim=True) / count
    variance = blank(frames - mean, real).square().sum((1, 2), keepdim=True) / (count * frames.shape[2])
    return mean, (variance + 1e-5).rsqrt()


class LogMelProcessor(AudioProcessor):
    """Waveforms for an encoder that reads log-mel frames; the store keeps a sound's frames.

    Args:
        log_mel: of the encoder, or one like it.
        sample_rate_hz, max_seconds: see ``AudioProcessor``.
        above: the windows that the encoder slides over frames, as ``TokenGrid`` has them; None = unknown.
    """

    def __init__(
        self,
        log_mel: LogMel,
        sample_rate_hz: int,
        max_seconds: float,
        above: tuple[tuple[int, int, int], ...] | None = None,
    ) -> None:
        frames = (log_mel.window, log_mel.hop, 0)
        grid = None if above is None else TokenGrid(sample_rate_hz, (frames, *above))
        super().__init__(sample_rate_hz, max_seconds, min_samples=log_mel.window, grid=grid)
        self.log_mel = log_mel
        self.num_mels = int(log_mel.mel.n_mels)

    def settings(self) -> dict[str, Any]:
        """See ``Storable``."""
        return {**super().settings(), "mels": self.num_mels, "window": self.log_mel.window, "hop": self.log_mel.hop}

    def pack(self, raw: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray]:
        """A sound -> its frames (L, N)."""
        return self._frames(self.prepare(raw)).numpy(), np.zeros(0, np.int8)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (L, N)."""
        return long.reshape(-1, self.num_mels)

    def alignment_of(self, prepared: Tensor | np.ndarray) -> Tensors:
        """See ``AlignedAsPrepared``: of a waveform (T,), or of frames (L, N)."""
        if prepared.ndim == 1:
            return super().alignment_of(prepared)
        grid = self._grid()
        return self._times(TokenGrid(grid.sample_rate_hz, grid.windows[1:]).count(len(prepared)))

    def collate(self, prepared: list[Tensor | np.ndarray | None]) -> Inputs:
        """Sounds -> as ``AudioProcessor``; if any is frames (L, N) already, frames (B, L, N), mask (B, L)."""
        if not any(sound is not None and sound.ndim == 2 for sound in prepared):
            return super().collate(prepared)
        frames, mask = padded([self._framed(sound) for sound in prepared], 0, self.num_mels)
        return {"frames": frames, "mask": mask}

    def _framed(self, sound: Tensor | np.ndarray | None) -> Tensor | np.ndarray | None:
        """A sound, or its frames -> its frames (L, N)."""
        return self._frames(sound) if isinstance(sound, Tensor) and sound.ndim == 1 else sound

    def _frames(self, waveform: Tensor) -> Tensor:
        with torch.no_grad():
            frames: Tensor = self.log_mel(waveform[None], torch.ones(1, len(waveform), dtype=torch.bool))[0][0]
        return frames


def frames_of(inputs: Inputs, log_mel: LogMel) -> tuple[Tensor, Tensor]:
    """The frames (B, L, N) and their mask (B, L) of a batch of sounds, or of frames that were computed before."""
    if "frames" in inputs:
        return inputs["frames"], inputs["mask"]
    frames: tuple[Tensor, Tensor] = log_mel(inputs["waveform"], inputs["mask"])
    return frames


def continuous_frames(inputs: Inputs, log_mel: LogMel) -> Continuous:
    """The frames of a batch of sounds, and as the neutral value those of silence: the way between them is a fade-in.

    Raises:
        ConfigError: the frames were computed before, so that it is not known what silence would be in them.
    """
    if "waveform" not in inputs:
        raise ConfigError("Log-mel frames from the store do not say what silence is: store.enabled=false.")
    with torch.no_grad():
        frames, real = log_mel(inputs["waveform"], inputs["mask"])
        nothing = log_mel.silence(inputs["waveform"], inputs["mask"])
    return Continuous.of({"frames": frames, "mask": real}, "frames", nothing, "silence")
