"""``ConformerEncoder``: a Conformer over log-mel frames, trained from scratch.

Paper: Gulati et al. 2020, "Conformer: Convolution-augmented Transformer for Speech Recognition", arXiv:2005.08100.
Network: ``torchaudio.models.Conformer`` with group norm. Differs from the paper as torchaudio does: no relative
positions (the convolutions provide them). Differs from torchaudio in that padding changes nothing: it is zeroed before
every convolution, and the group norm is taken over each sound's real frames. Unpadded sounds get torchaudio's own
numbers.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbert.core.attention import self_attention
from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.log_mel import LogMel, LogMelProcessor, continuous_frames, frames_of
from mmbert.encoders.processors.token_grid import halving_windows
from mmbert.encoders.spec_augment import SpecAugment


class ConformerEncoder(Encoder):
    """Log-mel frames, two convolutions that thin them fourfold, Conformer layers: one token every four hops.

    Args:
        out_dim: width D of a token.
        num_layers: Conformer layers.
        num_heads: attention heads; they divide ``out_dim``.
        ffn_dim: width inside the feed-forward modules.
        kernel_size: of the convolution along time in each layer; odd.
        num_mels: bands of the spectrogram.
        window_seconds: length of a frame's window.
        hop_seconds: from one frame to the next.
        sample_rate_hz: sounds are resampled to this.
        max_seconds: longer sounds are cut.
        dropout: in every layer.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        spec_augment: options of ``SpecAugment``; None = frames stay as they are.

    Raises:
        ConfigError: widths, heads or kernel do not fit.
    """

    kind: ClassVar[str] = "audio"
    network: Any
    processor: LogMelProcessor

    def __init__(
        self,
        out_dim: Annotated[int, Range(1)] = 144,
        num_layers: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        ffn_dim: int = 576,
        kernel_size: int = 15,
        num_mels: Annotated[int, Range(1)] = 80,
        window_seconds: float = 0.025,
        hop_seconds: Annotated[float, Range(above=0)] = 0.01,
        sample_rate_hz: Annotated[int, Range(1)] = 16000,
        max_seconds: Annotated[float, Range(above=0)] = 10.0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        frozen: bool = False,
        lr_scale: float = 1.0,
        spec_augment: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        from torchaudio.models import Conformer

        if out_dim % num_heads:
            raise ConfigError(f"num_heads={num_heads} does not divide out_dim={out_dim}.")
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size={kernel_size} must be odd, so that it has a middle.")
        self.out_dim = out_dim
        self.log_mel = LogMel(sample_rate_hz, num_mels, window_seconds, hop_seconds)
        self.processor = LogMelProcessor(
            LogMel(sample_rate_hz, num_mels, window_seconds, hop_seconds),
            sample_rate_hz,
            max_seconds,
            halving_windows([2, 2]),
        )
        self.thin = nn.ModuleList(
            [nn.Conv1d(num_mels, out_dim, 3, stride=2, padding=1), nn.Conv1d(out_dim, out_dim, 3, stride=2, padding=1)]
        )
        self.dropout = nn.Dropout(dropout)
        self.network = Conformer(
            out_dim, num_heads, ffn_dim, num_layers, kernel_size, dropout=dropout, use_group_norm=True
        )
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
        x = frames.mT  # (B, num_mels, L)
        for convolution in self.thin:
            x = F.gelu(convolution(x))
            mask = mask[:, ::2]  # a step is real if the frame in the middle of its window is
            x = blank(x.mT, mask).mT
        tokens = self.dropout(x.mT)
        for layer in self.network.conformer_layers:
            tokens = conformer_layer(layer, tokens, mask)
        return Encoded.from_tokens(tokens, mask)


def conformer_layer(layer: Any, x: Tensor, mask: Tensor) -> Tensor:
    """One ``torchaudio.models.conformer.ConformerLayer``: x (B, L, D), mask (B, L) -> (B, L, D)."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    keys = mask | (first & ~mask.any(1, keepdim=True))  # a missing sound attends to one blank: no key gives NaN
    x = x + 0.5 * layer.ffn1(x)
    x = x + layer.self_attn_dropout(self_attention(layer.self_attn, layer.self_attn_layer_norm(x), keys))
    x = x + convolution_module(layer.conv_module, x, mask)
    x = x + 0.5 * layer.ffn2(x)
    normed = layer.final_layer_norm(x)
    assert isinstance(normed, Tensor)
    return normed


def convolution_module(module: Any, x: Tensor, mask: Tensor) -> Tensor:
    """torchaudio's convolution module over real frames only: x (B, L, D), mask (B, L) -> (B, L, D)."""
    widen, gate, along_time, norm, activation, narrow, dropout = module.sequential
    x = gate(widen(module.layer_norm(x).mT))  # (B, D, L)
    x = along_time(blank(x.mT, mask).mT)  # zeros after each sound, as the convolution's own padding
    x = activation(group_norm(x.float(), mask, norm))
    return blank(dropout(narrow(x)).mT, mask)


def group_norm(x: Tensor, mask: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group norm of one group, over channels and real frames: x (B, D, L), mask (B, L) -> (B, D, L)."""
    spread = mask.unsqueeze(1)
    count = (mask.sum(1) * x.shape[1]).clamp(min=1).view(-1, 1, 1)
    centred = torch.where(spread, x, 0.0)
    centred = torch.where(spread, x - centred.sum((1, 2), keepdim=True) / count, 0.0)
    variance = centred.square().sum((1, 2), keepdim=True) / count
    return centred * (variance + norm.eps).rsqrt() * norm.weight[:, None] + norm.bias[:, None]
