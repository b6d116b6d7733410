"""Log-mel frames, each computed from real samples only, so that a sound's frames do not depend on its batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank


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
        with torch.autocast(waveform.device.type, enabled=False):  # powers of a spectrum need float32's range
            power = self.mel(blank(waveform, mask).float())  # (B, num_mels, L)
            frames = (power + 1e-6).log().mT  # (B, L, num_mels)
            real = mask[:, self.window - 1 :: self.hop]  # (B, L): a frame is real if its last sample is
            return standardise(frames, real), real


def standardise(frames: Tensor, real: Tensor) -> Tensor:
    """frames (B, L, N), real (B, L) -> each band without its mean, unit variance over all, zeros where not real."""
    count = real.sum(1).clamp(min=1).view(-1, 1, 1)
    centred = blank(frames - blank(frames, real).sum(1, keepdim=True) / count, real)
    variance = centred.square().sum((1, 2), keepdim=True) / (count * frames.shape[2])
    return centred * (variance + 1e-5).rsqrt()
