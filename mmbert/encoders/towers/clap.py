"""``ClapTower``: the audio tower of CLAP, a Swin transformer over the spectrogram of ten seconds.

Papers: Wu et al. 2022, "Large-scale Contrastive Language-Audio Pretraining", arXiv:2211.06687; Chen et al. 2022,
"HTS-AT", arXiv:2202.00874.

A shorter sound is repeated until the ten seconds are full, so that all tokens of a sound are real, and which moment
they are about is not told; they stand in the order of time. The vector is the model's own, their mean. Of fused models
(``clap-htsat-fused``) the way for longer sounds is not taken: which of a batch takes it, the extractor of transformers
draws at random, even if none is longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.extracted import ClapProcessor
from mmbert.encoders.towers.base import Tower, check_agreement

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: Decibels of silence, the least that the extractor gives.
SILENCE_DB = -100.0


class ClapTower(Tower):
    """See the file."""

    whole: ClassVar[dict[str, str]] = {"clap": "ClapModel", "clap_audio_model": "ClapAudioModel"}
    preparers: ClassVar[tuple[str, ...]] = ("ClapFeatureExtractor",)

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__(model, preparer, name)
        config = self.model.config
        check_agreement(name, {"number of mel bands": (config.num_mel_bins, preparer.feature_size)})
        network = self.model.audio_encoder
        network.enable_fusion = network.patch_embed.enable_fusion = False
        network.patch_embed.fusion_model = network.patch_embed.mel_conv2d = None  # the way for longer sounds

    @classmethod
    def part_config(cls, config: PretrainedConfig) -> PretrainedConfig:
        """See ``Tower``."""
        found: PretrainedConfig = getattr(config, "audio_config", config)
        return found

    @classmethod
    def part(cls, whole: Any) -> nn.Module:
        """See ``Tower``."""
        found: nn.Module = getattr(whole, "audio_model", whole)
        return found

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """See ``Tower``."""
        from transformers import ClapAudioModel

        built: nn.Module = ClapAudioModel._from_config(config)
        return built

    def make_processor(self, preparer: Any, max_seconds: float) -> ClapProcessor:
        """The processor of its inputs."""
        return ClapProcessor(preparer, max_seconds)

    def blocks(self) -> nn.ModuleList:
        """See ``Tower``."""
        found: nn.ModuleList = self.model.audio_encoder.layers
        return found

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        return [self.model.audio_encoder.norm]

    def continuous(self, inputs: Inputs) -> Continuous:
        """The spectrogram, and silence."""
        nothing = torch.full_like(inputs["spectrogram"], SILENCE_DB)
        return Continuous.of(inputs, "spectrogram", nothing, "silence")

    def forward(self, inputs: Inputs) -> Encoded:
        """spectrogram (B, T, N), mask (B, 1) -> tokens (B, L, D), mask (B, L)."""
        present = inputs["mask"].any(1)
        heard = blank(inputs["spectrogram"], present).unsqueeze(1)
        if self.training and not bool(present.any()):  # statistics of a batch of nothing would be wrong
            modes = {module: module.training for module in self.model.modules()}
            self.model.eval()
            tokens, pooled = self._states(heard)
            for module, mode in modes.items():  # some may stay in evaluation mode by themselves
                module.training = mode
        else:
            tokens, pooled = self._states(heard)
        return Encoded(tokens, present.unsqueeze(1).expand(tokens.shape[:2]), pooled)

    def _states(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, T, N) -> tokens (B, L, D), pooled (B, D)."""
        output = self.model(heard)
        states = output.last_hidden_state  # (B, D, bands, times)
        return states.permute(0, 3, 2, 1).flatten(1, 2), output.pooler_output
