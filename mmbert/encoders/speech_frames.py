"""Convolutions over raw waveforms whose norms are taken over the real part of each sound: wav2vec 2.0, HuBERT, WavLM.

torchaudio and transformers have the same layers under the same names; both let padding into the group norm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbert.core.masks import blank
from mmbert.core.types import Inputs
from mmbert.encoders.continuous import Continuous


def speech_frames(layers: Iterable[Any], waveform: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """The feature extractor of a speech model.

    No convolution here pads its input, so a real frame depends on real samples only; the norm over time is the one
    place where padding could enter.

    Args:
        layers: each with ``conv`` and ``layer_norm``: a norm over time, one over channels, or None.
        waveform: (B, T).
        samples: (B,) real ones.

    Returns:
        Features (B, L, D'), and how many of the frames are real (B,).
    """
    x, length = waveform.unsqueeze(1), samples
    for layer in layers:
        x = layer.conv(x)
        (kernel,), (stride,) = layer.conv.kernel_size, layer.conv.stride
        length = ((length - kernel).div(stride, rounding_mode="floor") + 1).clamp(min=0)
        norm = getattr(layer, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm):  # one group a channel: a norm over time
            real = torch.arange(x.shape[2], device=x.device) < length.unsqueeze(1)
            x = standardise_channels(x.float(), real, norm.eps) * norm.weight[:, None] + norm.bias[:, None]
        elif norm is not None:  # torchaudio's turns channels to the end by itself
            x = norm(x.mT).mT if type(norm) is nn.LayerNorm else norm(x)
        x = F.gelu(x)
    return x.mT, length


def standardise_channels(x: Tensor, real: Tensor, eps: float = 1e-5) -> Tensor:
    """x (B, C, T), real (B, T) -> each channel with mean 0 and variance 1 over its real times, zeros elsewhere."""
    spread = real.unsqueeze(1)
    count = spread.sum(2, keepdim=True).clamp(min=1)
    centred = torch.where(spread, x, 0.0)
    centred = torch.where(spread, x - centred.sum(2, keepdim=True) / count, 0.0)
    return centred * (centred.square().sum(2, keepdim=True) / count + eps).rsqrt()


def attended_frames(real: Tensor) -> Tensor:
    """real (B, L) -> the keys of attention (B, L): a missing sound attends to one blank, for no key gives NaN."""
    first = torch.arange(real.shape[1], device=real.device) == 0
    return real | (first & ~real.any(1, keepdim=True))


def receptive_field(windows: Iterable[tuple[int, int, int]]) -> int:
    """Samples that the first frame reads, of windows as ``TokenGrid`` has them."""
    samples = 1
    for length, stride, _ in reversed(list(windows)):
        samples = (samples - 1) * stride + length
    return samples


def continuous_waveform(inputs: Inputs) -> Continuous:
    """The waveform; the neutral value is white noise as loud, for silence lies on a ray of the first norm."""
    waveform, mask = blank(inputs["waveform"], inputs["mask"]), inputs["mask"]
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(waveform.shape[1])).to(waveform)
    power = waveform.square().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    given = {**inputs, "waveform": waveform}
    return Continuous.of(given, "waveform", noise * power.sqrt(), "white noise as loud as the sound")
