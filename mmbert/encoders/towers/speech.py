"""``SpeechTower``: wav2vec 2.0, HuBERT and WavLM of transformers over raw waveforms, one token every 20 ms.

Papers: Baevski et al. 2020, arXiv:2006.11477; Hsu et al. 2021, arXiv:2106.07447; Chen et al. 2021, arXiv:2110.13900.

The modules are transformers'; as in ``mmbert.encoders.audio`` the norm over time is taken over the real part of each
sound, and the padding after it is zeroed, so that a padded sound has the tokens that transformers gives it alone.
Frames are not masked and layers are not dropped at random in training (``mask_time_prob``, ``layerdrop``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.extracted import SpeechProcessor
from mmbert.encoders.processors.token_grid import TokenGrid
from mmbert.encoders.speech_frames import attended_frames, continuous_waveform, receptive_field, speech_frames
from mmbert.encoders.towers.base import Tower

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class SpeechTower(Tower):
    """See the file.

    Raises:
        ConfigError: the model has a part in which padding would change tokens.
    """

    whole: ClassVar[dict[str, str]] = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel", "wavlm": "WavLMModel"}
    preparers: ClassVar[tuple[str, ...]] = ("Wav2Vec2FeatureExtractor",)

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__(model, preparer, name)
        config = self.model.config
        for option in ("add_adapter", "conv_pos_batch_norm"):
            if getattr(config, option, False):
                raise ConfigError(
                    f"{name}: its config.json says {option}=true, a layer by which padding would change tokens. Leave "
                    f"it out with encoders.audio.config={{{option}: false}}, or take another model."
                )
        self.model.masked_spec_embed = None  # stands for masked frames, of which there are none

    @classmethod
    def fixed_options(cls, config: PretrainedConfig) -> dict[str, Any]:
        """See ``Tower``."""
        return {"layerdrop": 0.0}

    def make_processor(self, preparer: Any, max_seconds: float) -> SpeechProcessor:
        """The processor of its inputs."""
        config = self.model.config
        windows = tuple((int(k), int(s), 0) for k, s in zip(config.conv_kernel, config.conv_stride, strict=True))
        grid = TokenGrid(int(preparer.sampling_rate), windows)
        return SpeechProcessor(preparer, max_seconds, receptive_field(windows), grid)

    def blocks(self) -> nn.ModuleList:
        """See ``Tower``."""
        found: nn.ModuleList = self.model.encoder.layers
        return found

    def above(self) -> list[nn.Module]:
        """See ``Tower``: the last norm, where it is the last."""
        return [self.model.encoder.layer_norm] if self.model.config.do_stable_layer_norm else []

    def continuous(self, inputs: Inputs) -> Continuous:
        """See ``continuous_waveform``."""
        return continuous_waveform(inputs)

    def forward(self, inputs: Inputs) -> Encoded:
        """waveform (B, T), mask (B, T) -> tokens (B, L, D), mask (B, L)."""
        mask = inputs["mask"]
        layers = self.model.feature_extractor.conv_layers
        features, frames = speech_frames(layers, blank(inputs["waveform"], mask), mask.sum(1))
        real = torch.arange(features.shape[1], device=mask.device) < frames.unsqueeze(1)  # (B, L)
        projected = self.model.feature_projection(blank(features, real))
        if isinstance(projected, tuple):  # wav2vec 2.0 and WavLM give what is projected too
            projected = projected[0]
        states = self.model.encoder(blank(projected, real), attention_mask=attended_frames(real))
        return Encoded.from_tokens(states.last_hidden_state, real)
