"""``WhisperTower``: the encoder of Whisper, one token every 20 ms.

Paper: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", arXiv:2212.04356.

The network was trained on 30 seconds, always, and has no mask: it runs over the sound and the silence after it, as in
transformers. Its tokens are those that begin within the sound, its vector their mean; the silence after it is read by
attention but gives no token, so that a sound has the same tokens in every batch. Layers are not dropped at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.extracted import WhisperProcessor, whisper_tokens
from mmbert.encoders.towers.base import Tower, check_agreement

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: Powers of ten from a sound's highest value down to which frames are kept, and the least power, as they are scaled.
RANGE, LEAST = 8 / 4, (-10 + 4) / 4


class WhisperTower(Tower):
    """See the file."""

    whole: ClassVar[dict[str, str]] = {"whisper": "WhisperModel"}
    preparers: ClassVar[tuple[str, ...]] = ("WhisperFeatureExtractor",)

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__(model, preparer, name)
        config = self.model.config
        self.most = int(preparer.nb_max_frames)
        check_agreement(
            name,
            {
                "number of mel bands": (config.num_mel_bins, preparer.feature_size),
                "length in frames": (2 * config.max_source_positions, self.most),
            },
        )

    @classmethod
    def fixed_options(cls, config: PretrainedConfig) -> dict[str, Any]:
        """See ``Tower``."""
        return {"encoder_layerdrop": 0.0}

    @classmethod
    def part(cls, whole: Any) -> nn.Module:
        """See ``Tower``."""
        found: nn.Module = whole.encoder
        return found

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """See ``Tower``."""
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        built: nn.Module = WhisperEncoder._from_config(config)
        return built

    def make_processor(self, preparer: Any, max_seconds: float) -> WhisperProcessor:
        """The processor of its inputs."""
        return WhisperProcessor(preparer, max_seconds)

    def blocks(self) -> nn.ModuleList:
        """See ``Tower``."""
        found: nn.ModuleList = self.model.layers
        return found

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        return [self.model.layer_norm]

    def continuous(self, inputs: Inputs) -> Continuous:
        """The frames, and silence."""
        frames = inputs["frames"]
        nothing = silence(frames, inputs["mask"]).expand_as(frames)
        return Continuous.of(inputs, "frames", nothing, "silence")

    def forward(self, inputs: Inputs) -> Encoded:
        """frames (B, T, N), mask (B, T) -> tokens (B, L, D), mask (B, L)."""
        frames, mask = inputs["frames"], inputs["mask"]
        quiet = silence(frames, mask)
        own = torch.where(mask.unsqueeze(2), frames, quiet)
        rest = quiet.expand(-1, self.most, frames.shape[2])
        whole = torch.cat([own, rest], 1)[:, : self.most]  # (B, 3000, N)
        states = self.model(whole.mT).last_hidden_state  # (B, 1500, D)
        length = (frames.shape[1] + 1) // 2  # at least as many as any sound has
        tokens = torch.cat([states, states.new_zeros(states.shape[0], length, states.shape[2])], 1)[:, :length]
        counts = whisper_tokens(mask.sum(1), self.most)
        return Encoded.from_tokens(tokens, torch.arange(length, device=mask.device) < counts.unsqueeze(1))


def silence(frames: Tensor, mask: Tensor) -> Tensor:
    """frames (B, T, N), mask (B, T) -> (B, 1, 1), what the extractor makes of silence after each sound."""
    highest = frames.masked_fill(~mask.unsqueeze(2), LEAST).amax((1, 2), keepdim=True)
    return (highest - RANGE).clamp(min=LEAST)
