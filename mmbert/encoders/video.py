"""``VideoEncoder``: any timm network reads some pictures of a clip, each of which becomes a token with its time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import nn

from mmbert.core.masks import blank
from mmbert.core.ranges import AnyOf, Many, Range
from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.processors.image import Fit
from mmbert.encoders.processors.video import VideoProcessor, frames_limit
from mmbert.encoders.time_signals import time_signals


class VideoEncoder(Encoder):
    """A timm network over the pictures of a clip: one token a picture, or one a patch of each.

    The pooled vector is the mean over pictures of the network's own pooled vectors: late pooling over time. Which
    picture comes when is in the tokens: sines and cosines of its time are added, in seconds, so that clips of different
    lengths and rates have one scale. There is no weight of its own beside the network's; what happens over time is
    learnt by token fusions, from tokens that a frozen network has stored.

    Args:
        name, pretrained, image_size, fit, checkpoint, options: see ``ImageEncoder``.
        frames, frames_per_second, max_seconds: which pictures are read, see ``VideoProcessor``.
        tokens: ``frames`` = the network's pooled vector of each picture; ``patches`` = all its tokens of each.
        times: tell the tokens their times.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.

    Raises:
        ConfigError: an option does not fit the network.
        WeightsError: the weights cannot be had.
    """

    kind: ClassVar[str] = "video"
    processor: VideoProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        image_size: Annotated[int | list[int] | None, AnyOf(Range(1), Many(Range(1), length=2))] = None,
        fit: Fit = "crop",
        frames: Annotated[int, Range(1)] = 8,
        frames_per_second: Annotated[float | None, Range(above=0)] = None,
        max_seconds: Annotated[float | None, Range(above=0)] = None,
        tokens: Literal["frames", "patches"] = "frames",
        times: bool = True,
        frozen: bool = False,
        lr_scale: float = 1.0,
        checkpoint: str | None = None,
        options: dict[str, Any] | None = None,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.images = ImageEncoder(
            name, pretrained, image_size, fit, frozen, 1.0, checkpoint, options, trainable_last_n, layer_decay,
            gradient_checkpointing, lora,
        )  # fmt: skip
        self.patches, self.times = tokens == "patches", times
        self.out_dim = self.images.out_dim
        self.processor = VideoProcessor(self.images.processor, frames, frames_per_second, max_seconds)
        self.freeze()

    @classmethod
    def length_limit(cls, options: Mapping[str, Any]) -> LengthLimit | None:
        """See ``Encoder``."""
        return frames_limit(options.get("frames") or 8, options.get("frames_per_second"), options.get("max_seconds"))

    def continuous(self, inputs: Inputs) -> Continuous:
        """The pixels of all pictures, and as the neutral value the mean colour."""
        return Continuous.of(inputs, "pictures", torch.zeros_like(inputs["pictures"]), "the mean colour")

    def encode(self, inputs: Inputs) -> Encoded:
        """pictures (B, T, 3, height, width), times (B, T), mask (B, T) -> tokens (B, T or T · patches, D), mask."""
        mask = inputs["mask"]
        # only real pictures are run, so that none of padding enters the statistics of a batch; one stands for none
        if torch.compiler.is_exporting():  # which are real is not known then
            where = torch.arange(mask.shape[0] * mask.shape[1], device=mask.device)
        else:
            where = mask.flatten().nonzero().squeeze(1) if bool(mask.any()) else mask.new_zeros(1, dtype=torch.int64)
        pictures = blank(inputs["pictures"], mask).flatten(0, 1)[where]
        seen = self.images.encode({"pixels": pictures, "mask": mask.flatten()[where].unsqueeze(1)})
        tokens, pooled = seen.tokens if self.patches else seen.pooled.unsqueeze(1), seen.pooled
        (size, count), length, dim = mask.shape, tokens.shape[1], tokens.shape[2]
        grid = tokens.new_zeros(size * count, length, dim).index_copy(0, where, tokens)
        vectors = pooled.new_zeros(size * count, dim).index_copy(0, where, pooled).view(size, count, dim)
        grid = grid.view(size, count, length, dim)
        if self.times:
            grid = grid + time_signals(inputs["times"], dim).to(grid.dtype).unsqueeze(2)
        vectors = blank(vectors, mask)
        mean = vectors.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        token_mask = mask.unsqueeze(2).expand(size, count, length).flatten(1)
        return Encoded(grid.flatten(1, 2), token_mask, mean)

    def lr_factors(self) -> dict[nn.Parameter, float]:
        """See ``Encoder``: those of the network."""
        return self.images.lr_factors()

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same encoder with random weights; everything else is in its arguments."""
        return {**args, "pretrained": False, "checkpoint": None}
