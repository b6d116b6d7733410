"""``MelspecCNN``: a small convolutional network over log-mel frames, for short sounds, trained from scratch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import nn
from torch.nn import functional as F

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Many, Range
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.log_mel import LogMel, LogMelProcessor, continuous_frames, frames_of
from mmbert.encoders.processors.token_grid import halving_windows
from mmbert.encoders.spec_augment import SpecAugment


class MelspecCNN(Encoder):
    """Log-mel frames -> residual-free 3×3 convolutions over time and frequency -> one token every few frames.

    The padding after a sound is zeroed before each convolution, as the convolution itself pads a sound that is alone in
    its batch; normalisation is over one frame at a time. So no token depends on its batch.

    Args:
        out_dim: width D of a token.
        channels: of each convolution; each halves the number of bands.
        time_strides: frames per step of each convolution; their product is the number of frames in a token.
        num_mels: bands of the spectrogram.
        window_seconds: length of a frame's window.
        hop_seconds: from one frame to the next.
        sample_rate_hz: sounds are resampled to this.
        max_seconds: longer sounds are cut.
        dropout: on the tokens.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        spec_augment: options of ``SpecAugment``; None = frames stay as they are.
    """

    kind: ClassVar[str] = "audio"
    processor: LogMelProcessor

    def __init__(
        self,
        out_dim: Annotated[int, Range(1)] = 128,
        channels: Annotated[tuple[int, ...] | list[int], Many(Range(1))] = (16, 32, 64),
        time_strides: tuple[int, ...] | list[int] = (2, 2, 1),
        num_mels: Annotated[int, Range(1)] = 40,
        window_seconds: float = 0.025,
        hop_seconds: Annotated[float, Range(above=0)] = 0.016,
        sample_rate_hz: Annotated[int, Range(1)] = 16000,
        max_seconds: Annotated[float, Range(above=0)] = 10.0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        frozen: bool = False,
        lr_scale: float = 1.0,
        spec_augment: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        if len(channels) != len(time_strides) or not channels:
            raise ConfigError(f"channels={channels} and time_strides={time_strides} must be lists of the same length.")
        self.out_dim = out_dim
        self.time_strides = list(time_strides)
        self.log_mel = LogMel(sample_rate_hz, num_mels, window_seconds, hop_seconds)
        self.processor = LogMelProcessor(
            LogMel(sample_rate_hz, num_mels, window_seconds, hop_seconds),
            sample_rate_hz,
            max_seconds,
            halving_windows(time_strides),
        )
        widths, bands = [1, *channels], num_mels
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        for before, after, stride in zip(widths, channels, time_strides, strict=False):
            bands = (bands + 1) // 2
            self.convolutions.append(nn.Conv2d(before, after, 3, (stride, 2), 1, bias=False))
            self.norms.append(nn.GroupNorm(1, after))
        self.mix = nn.Conv1d(channels[-1] * bands, out_dim, 3, padding=1)
        self.norm = nn.LayerNorm(out_dim)
        self.dropout = nn.Dropout(dropout)
        self.spec_augment = None if spec_augment is None else SpecAugment(**spec_augment)
        self.freeze()

    def continuous(self, inputs: Inputs) -> Continuous:
        """Log-mel frames, and silence."""
        return continuous_frames(inputs, self.log_mel)

    def encode(self, inputs: Inputs) -> Encoded:
        """waveform (B, T) or log-mel frames (B, L, N), and their mask -> tokens (B, L, D), mask (B, L)."""
        frames, mask = frames_of(inputs, self.log_mel)
        if self.spec_augment is not None:
            frames = self.spec_augment(frames, mask)
        grid = frames.unsqueeze(1)  # (B, 1, L, bands)
        for convolution, norm, stride in zip(self.convolutions, self.norms, self.time_strides, strict=True):
            by_frame = convolution(grid).transpose(1, 2)  # (B, L, channels, bands)
            mask = mask[:, ::stride]  # a step is real if the frame in the middle of its window is
            normed = norm(by_frame.flatten(0, 1)).view_as(by_frame)  # one group: over channels and bands of a frame
            by_frame = blank(F.relu(normed), mask)
            grid = by_frame.transpose(1, 2).contiguous()
        tokens = self.mix(by_frame.flatten(2).mT).mT  # (B, L, channels * bands) -> (B, L, D)
        tokens = self.dropout(F.relu(self.norm(tokens)))
        return Encoded.from_tokens(tokens, mask)
