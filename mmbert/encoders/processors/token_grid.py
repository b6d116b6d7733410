"""``TokenGrid``: how many tokens an encoder makes of a sound, and which moment each of them is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenGrid:
    """The windows that an encoder slides over a sound, one upon the other.

    Token i is about the middle of the samples that it sees: at ``first_seconds + i * step_seconds``. The time that is
    its own reaches half a step to either side; what it sees may be longer. Layers that keep the length and look to both
    sides alike (attention, a convolution of stride 1) are left out.

    Attributes:
        sample_rate_hz: of the sound.
        windows: from the samples upwards, each its length, its stride, and how many places before its first input it
            begins and after its last it ends (zeros), all three in the steps of the one below.
    """

    sample_rate_hz: int
    windows: tuple[tuple[int, int, int], ...]

    def count(self, samples: int) -> int:
        """Tokens of a sound of so many samples."""
        for length, stride, padding in self.windows:
            samples = max(0, (samples + 2 * padding - length) // stride + 1)
        return samples

    @property
    def step_seconds(self) -> float:
        """From one token to the next."""
        step = 1
        for _, stride, _ in self.windows:
            step *= stride
        return step / self.sample_rate_hz

    @property
    def first_seconds(self) -> float:
        """The middle of what the first token sees."""
        middle, step = 0.5, 1.0  # of a sample that lasts from 0 to 1
        for length, stride, padding in self.windows:
            middle += ((length - 1) / 2 - padding) * step
            step *= stride
        return middle / self.sample_rate_hz

    def times(self, count: int) -> Tensor:
        """(count, 2) float64: when each token's own time begins and ends, in seconds."""
        return token_times(count, self.first_seconds, self.step_seconds)


def token_times(count: int, first_seconds: float, step_seconds: float) -> Tensor:
    """(count, 2) float64: beginning and end in seconds of the time around each token's middle; the first's from 0 on.

    Args:
        count: of tokens.
        first_seconds: the first token's middle.
        step_seconds: from one token to the next.
    """
    edges = first_seconds + (torch.arange(count + 1, dtype=torch.float64) - 0.5) * step_seconds
    edges = edges.clamp(min=0)
    if count:
        edges[0] = 0
    return torch.stack([edges[:-1], edges[1:]], 1)


def halving_windows(strides: Sequence[int], length: int = 3, padding: int = 1) -> tuple[tuple[int, int, int], ...]:
    """Convolutions of one length over frames, whose outputs are as many as the frames divided by the stride."""
    return tuple((length, int(stride), padding) for stride in strides)
