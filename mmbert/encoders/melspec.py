"""Log-mel spectrograms, and a small convolutional network over them, trained from scratch.

Nothing here sees padding: windows lie wholly within the sound, normalisation is over a sound's own frames, norms act
within one frame, and padded frames are zeroed before every convolution that reaches across frames. A sound's tokens
are the same alone and in any batch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.data.processor import Kind
from mmbert.encoders.base import Encoder
from mmbert.encoders.sound import AudioProcessor

WINDOW_SECONDS = 0.025


class LogMel(nn.Module):
    """Waveforms -> log-mel frames, each sound brought to mean 0 and deviation 1.

    Frame i covers the samples from i·hop to i·hop + window. A sound shorter than one window is one frame, the rest of
    which is silence.

    Args:
        sample_rate_hz: of the waveforms.
        num_mels: mel bands.
        hop_seconds: from one frame to the next.
    """

    def __init__(self, sample_rate_hz: int, num_mels: int, hop_seconds: float) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram

        self.window = round(WINDOW_SECONDS * sample_rate_hz)
        self.hop = round(hop_seconds * sample_rate_hz)
        self.mel = MelSpectrogram(
            sample_rate_hz, n_fft=self.window, hop_length=self.hop, n_mels=num_mels, center=False, power=2.0
        )

    def forward(self, waveform: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """waveform (B, T), mask (B, T) -> frames (B, num_mels, F), mask (B, F)."""
        samples = mask.sum(1)
        wave = blank(waveform, mask)
        if wave.shape[1] < self.window:
            wave = nn.functional.pad(wave, (0, self.window - wave.shape[1]))
        with torch.autocast(wave.device.type, enabled=False):  # squared amplitudes leave half precision's range
            frames = (self.mel(wave.float()) + 1e-6).log()
        count = ((samples - self.window).clamp(min=0) // self.hop + 1) * (samples > 0)
        real = torch.arange(frames.shape[2], device=wave.device) < count.unsqueeze(1)
        return standardise(frames, real), real


def standardise(frames: Tensor, mask: Tensor) -> Tensor:
    """frames (B, N, F), mask (B, F) -> the same, each sample's real frames with mean 0 and deviation 1, others 0."""
    spread = mask.unsqueeze(1)
    count = (mask.sum(1) * frames.shape[1]).clamp(min=1)[:, None, None]
    centred = torch.where(spread, frames, 0.0)
    centred = torch.where(spread, frames - centred.sum((1, 2), keepdim=True) / count, 0.0)
    deviation = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    return centred / (deviation + 1e-5)


class FrameConv(nn.Module):
    """Convolution over bands and frames, a norm within each frame, GELU.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        frame_stride: frames are thinned by this factor; bands always by 2.
    """

    def __init__(self, in_channels: int, out_channels: int, frame_stride: int) -> None:
        super().__init__()
        self.frame_stride = frame_stride
        self.conv = nn.Conv2d(in_channels, out_channels, 3, (2, frame_stride), 1)
        self.scale = nn.Parameter(torch.ones(out_channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, N, F), mask (B, F) -> (B, C', N / 2, F'), mask (B, F')."""
        x = self.conv(torch.where(mask[:, None, None], x, 0.0))
        mask = mask[:, :: self.frame_stride]
        variance, mean = torch.var_mean(x, (1, 2), keepdim=True, correction=0)
        normed = (x - mean) * torch.rsqrt(variance + 1e-5)
        return nn.functional.gelu(normed * self.scale + self.shift), mask


class MelspecCNN(Encoder):
    """Three convolutions over the log-mel spectrogram and one over time; a token every four hops.

    Args:
        out_dim: width D of the tokens.
        channels: of the three convolutions.
        num_mels: mel bands, a multiple of 8.
        hop_seconds: from one frame to the next.
        dropout: on the tokens before the last layer.
        sample_rate_hz: sounds are resampled to it.
        max_seconds: longer sounds are cut.
        frozen: keep the network in evaluation mode, without gradients.
        lr_scale: factor on the learning rate.
    """

    kind: ClassVar[Kind] = "audio"

    def __init__(
        self,
        out_dim: int = 192,
        channels: tuple[int, int, int] = (24, 48, 96),
        num_mels: int = 64,
        hop_seconds: float = 0.0125,
        dropout: float = 0.1,
        sample_rate_hz: int = 16000,
        max_seconds: float = 10.0,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.out_dim = out_dim
        self.processor = AudioProcessor(sample_rate_hz, max_seconds)
        self.log_mel = LogMel(sample_rate_hz, num_mels, hop_seconds)
        first, second, third = channels
        self.convolutions = nn.ModuleList([FrameConv(1, first, 2), FrameConv(first, second, 2), FrameConv(second, third, 1)])
        self.project = nn.Linear(third * (num_mels // 8), out_dim)
        self.norm = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(dropout)
        self.context = nn.Conv1d(out_dim, out_dim, 5, padding=2)
        self.final_norm = nn.LayerNorm(out_dim)
        self.freeze()

    def encode(self, inputs: Inputs) -> Encoded:
        """waveform (B, T), mask (B, T) -> tokens (B, L, D), one every four hops."""
        frames, mask = self.log_mel(inputs["waveform"], inputs["mask"])
        x = frames.unsqueeze(1)  # (B, 1, N, F)
        for convolution in self.convolutions:
            x, mask = convolution(x, mask)
        tokens = nn.functional.gelu(self.norm(self.project(x.flatten(1, 2).mT)))  # (B, L, D)
        tokens = self.dropout(blank(tokens, mask))
        tokens = self.final_norm(tokens + self.context(tokens.mT).mT)
        return Encoded.from_tokens(tokens, mask)
