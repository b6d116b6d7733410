"""``SpectrogramTower``: the Audio Spectrogram Transformer (AST), tokens of 0.16 s by 16 mel bands.

Paper: Gong et al. 2021, "AST: Audio Spectrogram Transformer", arXiv:2104.01778.

The network runs over its fixed length, silence after the sound, and without a mask, as in transformers. Its tokens are
the class and the distillation token, and then, in the order of time (in transformers: of bands), those whose patch
begins within the sound; its vector is the model's own, the mean of the first two.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.extracted import SpectrogramProcessor
from mmbert.encoders.towers.base import Tower, check_agreement


class SpectrogramTower(Tower):
    """See the file."""

    whole: ClassVar[dict[str, str]] = {"audio-spectrogram-transformer": "ASTModel"}
    preparers: ClassVar[tuple[str, ...]] = ("ASTFeatureExtractor",)
    BEFORE = 2  # class and distillation token

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__(model, preparer, name)
        config = self.model.config
        check_agreement(
            name,
            {
                "number of mel bands": (config.num_mel_bins, preparer.num_mel_bins),
                "length in frames": (config.max_length, preparer.max_length),
            },
        )
        self.bands, _ = self.model.embeddings.get_shape(config)
        #: What the extractor makes of the zeros after a sound's frames.
        self.nothing = (0.0 - preparer.mean) / (2 * preparer.std) if preparer.do_normalize else 0.0

    def make_processor(self, preparer: Any, max_seconds: float) -> SpectrogramProcessor:
        """The processor of its inputs."""
        return SpectrogramProcessor(preparer, max_seconds)

    def blocks(self) -> nn.ModuleList:
        """See ``Tower``."""
        found: nn.ModuleList = self.model.layers
        return found

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        return [self.model.layernorm]

    def continuous(self, inputs: Inputs) -> Continuous:
        """The frames, and what stands after a sound."""
        nothing = torch.full_like(inputs["frames"], self.nothing)
        return Continuous.of(inputs, "frames", nothing, "what follows a sound")

    def forward(self, inputs: Inputs) -> Encoded:
        """frames (B, T, N), mask (B, T) -> tokens (B, L, D), mask (B, L)."""
        frames, mask, config = inputs["frames"], inputs["mask"], self.model.config
        own = torch.where(mask.unsqueeze(2), frames, self.nothing)
        rest = frames.new_full((1, 1, 1), self.nothing).expand(frames.shape[0], config.max_length, frames.shape[2])
        output = self.model(torch.cat([own, rest], 1)[:, : config.max_length])
        first, patches = output.last_hidden_state.tensor_split([self.BEFORE], dim=1)
        in_time = patches.unflatten(1, (self.bands, -1)).transpose(1, 2).flatten(1, 2)
        counts = -(-mask.sum(1) // config.time_stride)  # places in time that begin within a sound
        length = -(-frames.shape[1] // config.time_stride) * self.bands
        in_time = in_time[:, :length]
        real = torch.arange(in_time.shape[1], device=mask.device) < (counts * self.bands).unsqueeze(1)
        present = mask.any(1, keepdim=True).expand(-1, self.BEFORE)
        return Encoded(torch.cat([first, in_time], 1), torch.cat([present, real], 1), output.pooler_output)
