"""``SeriesEncoder``: patches of consecutive steps of a series as tokens, as PatchTST makes them, with attention.

Paper: Nie et al. 2023, "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers", arXiv:2211.14730.
Differs from it: a patch holds all channels rather than one; beside each number stands whether there is one; numbers are
standard scores of train rather than of the series itself, so that levels count; positions are sines of times; layer
norms stand before the layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.ranges import Many, Range, String
from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.series import SeriesModality
from mmbert.data.modalities.series_reading import SeriesReading, TimeUnit
from mmbert.data.tables.train_cells import TrainCells
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.series import SeriesProcessor, learnt_series, steps_limit
from mmbert.encoders.time_signals import time_signals
from mmbert.encoders.transformer_block import TransformerBlock

#: Periods of the sines that tell the places of patches, in steps.
SHORTEST_STEPS, LONGEST_STEPS = 4.0, 20_000.0
#: Steps that are read where ``max_steps`` is not given.
MOST_STEPS = 1024


class SeriesEncoder(Encoder):
    """One token a patch of ``patch_length`` steps; the pooled vector is the mean of the tokens.

    A patch without any number is masked. What lacks in others is 0, which is the mean of train, beside a sign that it
    lacks.

    Args:
        channels: columns that are read, in this order; None = all columns of numbers, which all files must have.
        time: the column of times; None = ``time``, ``timestamp`` or ``t``, else the first column.
        time_unit: of times that are numbers: s, ms, us or ns.
        rows_per_second: of files without times, such as arrays: how fast the rows follow one another.
        rate: steps a second: each channel is interpolated linearly on a regular grid. None = every row is a step, and
            tokens are told the times that it has.
        max_gap: seconds beyond which nothing is interpolated; None = three steps of the file or of the grid.
        max_steps: longer series are cut.
        patch_length: steps of a patch.
        stride: steps from one patch to the next.
        out_dim: D.
        layers: of attention over the patches; 0 = none.
        heads: of the attention.
        dropout: in the attention's layers, and behind the embedding.
        statistics: mean and standard deviation by channel; None = learnt from train, which the training program does.
        step_seconds: seconds that count as a step where ``rate`` is null; None = learnt from train.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.

    Raises:
        ConfigError: nothing is known of the channels, the heads do not divide D, or steps would lie between patches.
    """

    kind: ClassVar[str] = "series"
    processor: SeriesProcessor

    def __init__(
        self,
        channels: Annotated[Sequence[str] | None, Many(String())] = None,
        time: str | None = None,
        time_unit: TimeUnit = "s",
        rows_per_second: Annotated[float | None, Range(above=0)] = None,
        rate: Annotated[float | None, Range(above=0)] = None,
        max_gap: Annotated[float | None, Range(above=0)] = None,
        max_steps: Annotated[int, Range(1)] = MOST_STEPS,
        patch_length: Annotated[int, Range(1)] = 16,
        stride: Annotated[int, Range(1)] = 8,
        out_dim: Annotated[int, Range(1)] = 64,
        layers: Annotated[int, Range(0)] = 2,
        heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        statistics: Mapping[str, Mapping[str, float]] | None = None,
        step_seconds: Annotated[float | None, Range(above=0)] = None,
        frozen: bool = False,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(frozen, lr_scale)
        if not statistics:
            raise ConfigError(
                "Nothing is known of the channels: give SeriesEncoder what SeriesEncoder.learned found (statistics)."
            )
        if layers and out_dim % heads:
            raise ConfigError(f"heads={heads} do not divide out_dim={out_dim}.")
        if stride > patch_length:
            raise ConfigError(f"stride={stride} is above patch_length={patch_length}: steps between would be lost.")
        self.patch_length, self.stride, self.out_dim = patch_length, stride, out_dim
        self.uneven = rate is None
        reading = SeriesReading(time, time_unit, rows_per_second)
        self.processor = SeriesProcessor(reading, statistics, rate, max_gap, max_steps, step_seconds or 1.0)
        self.modality = self.processor.modality
        self.embed = nn.Linear(patch_length * (2 * len(statistics) + self.uneven), out_dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(out_dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(out_dim)
        self.freeze()

    @classmethod
    def modality_with(cls, options: Mapping[str, Any]) -> SeriesModality:
        """See ``Encoder``."""
        return SeriesModality(reading_of(options))

    @classmethod
    def length_limit(cls, options: Mapping[str, Any]) -> LengthLimit:
        """See ``Encoder``."""
        return steps_limit(reading_of(options), options.get("rate"), options.get("max_steps") or MOST_STEPS)

    @classmethod
    def learned(cls, options: Mapping[str, Any], cells: TrainCells) -> dict[str, Any]:
        """See ``Encoder``: means and deviations by channel, and the usual step, where they are not given."""
        if options.get("statistics"):
            return {}
        found = learnt_series(cells, reading_of(options))
        given = {} if options.get("step_seconds") else {"step_seconds": found.step_seconds}
        return {"statistics": found.statistics, **given}

    def continuous(self, inputs: Inputs) -> Continuous:
        """The standard scores, and as the neutral value the mean of train."""
        values = inputs["values"]
        return Continuous.of(inputs, "values", torch.zeros_like(values), "the mean of train")

    def encode(self, inputs: Inputs) -> Encoded:
        """values and observed (B, T, C), positions and mask (B, T) -> tokens (B, N, D), N patches."""
        mask = inputs["mask"]
        observed = inputs["observed"] & mask.unsqueeze(2)
        size, steps, channels = observed.shape
        count = self.patches(steps)
        beyond = self.patch_length + (count - 1) * self.stride - steps
        real = self.patched(F.pad(mask, (0, beyond)).unsqueeze(2)).squeeze(3)  # (B, N, P)
        values = self.patched(F.pad(blank(inputs["values"], observed), (0, 0, 0, beyond)))  # (B, N, P, C)
        there = self.patched(F.pad(observed, (0, 0, 0, beyond)))
        positions = self.patched(F.pad(blank(inputs["positions"], mask), (0, beyond)).unsqueeze(2)).squeeze(3)
        centres = positions.sum(2) / real.sum(2).clamp(min=1)  # (B, N), of the steps that are there
        parts = [values.to(self.embed.weight.dtype), there.to(self.embed.weight.dtype)]
        if self.uneven:
            parts.append(blank(positions - centres.unsqueeze(2), real).unsqueeze(3).to(self.embed.weight.dtype))
        tokens = self.embed(torch.cat(parts, 3).flatten(2))  # (B, N, D)
        tokens = tokens + time_signals(centres, self.out_dim, SHORTEST_STEPS, LONGEST_STEPS).to(tokens.dtype)
        token_mask = real.any(2) & self.needed(mask, count)
        tokens = self.dropout(tokens)
        attended = token_mask | ~token_mask.any(1, keepdim=True)  # a row without any has something to attend to
        for block in self.blocks:
            tokens = block(tokens, attended)
        return Encoded.from_tokens(self.norm(tokens), token_mask)

    def patches(self, steps: int) -> int:
        """How many patches hold all of some steps."""
        return max(1, math.ceil((steps - self.patch_length) / self.stride) + 1)

    def patched(self, steps: Tensor) -> Tensor:
        """(B, T, C) -> (B, N, P, C)."""
        return steps.unfold(1, self.patch_length, self.stride).transpose(2, 3)

    def needed(self, mask: Tensor, count: int) -> Tensor:
        """mask (B, T) -> (B, N) bool: the patches that hold all of a series alone, without the padding of its batch."""
        places = torch.arange(mask.shape[1], device=mask.device)
        last = torch.where(mask, places, 0).amax(1, keepdim=True)  # (B, 1)
        numbers = torch.arange(count, device=mask.device)
        first_new = torch.where(numbers > 0, self.patch_length + (numbers - 1) * self.stride, 0)  # in no patch before
        return first_new <= last


def reading_of(options: Mapping[str, Any]) -> SeriesReading:
    """What an encoder with these options reads of a file."""
    known = options.get("statistics") or options.get("channels")
    return SeriesReading(
        options.get("time"),
        options.get("time_unit") or "s",
        options.get("rows_per_second"),
        None if known is None else tuple(known),
    )
