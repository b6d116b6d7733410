"""``ClipTower``: the vision tower of CLIP, a class token and one of each patch.

Paper: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020.

Tokens and vector are those of transformers: the last layer's states, and the class token after the final norm. With
``projection`` the vector is the one that CLIP compares with that of a text (transformers' ``image_embeds``); norm and
projection are then taken of every token, so that all have one width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.processors.model_images import ModelImageProcessor
from mmbert.encoders.towers.base import Tower, check_agreement

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class VisionTower(Tower):
    """What the vision towers of CLIP and SigLIP share."""

    def __init__(self, model: nn.Module, preparer: Any, name: str) -> None:
        super().__init__(model, preparer, name)
        side = self.model.config.image_size
        check_agreement(name, {"size of pictures": ((side, side), ModelImageProcessor(preparer).size)})

    @classmethod
    def part_config(cls, config: PretrainedConfig) -> PretrainedConfig:
        """See ``Tower``."""
        found: PretrainedConfig = getattr(config, "vision_config", config)
        return found

    @classmethod
    def part(cls, whole: Any) -> nn.Module:
        """See ``Tower``."""
        found: nn.Module = getattr(whole, "vision_model", whole)
        return found

    def vision(self) -> Any:
        """The transformer, of a model that may have more."""
        return self.model

    def blocks(self) -> nn.ModuleList:
        """See ``Tower``."""
        found: nn.ModuleList = self.vision().encoder.layers
        return found

    def continuous(self, inputs: Inputs) -> Continuous:
        """The pixels, and as the neutral value the mean colour."""
        return Continuous.of(inputs, "pixels", torch.zeros_like(inputs["pixels"]), "the mean colour")

    def forward(self, inputs: Inputs) -> Encoded:
        """pixels (B, 3, height, width), mask (B, 1) -> tokens (B, L, D), mask (B, L)."""
        present = inputs["mask"].any(1)
        output = self.vision()(blank(inputs["pixels"], present).contiguous())
        tokens, pooled = self.as_encoded(output)
        return Encoded(tokens, present.unsqueeze(1).expand(tokens.shape[:2]), pooled)

    def as_encoded(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What the transformer gave -> tokens (B, L, D), pooled (B, D)."""
        pooled = output.pooler_output
        return output.last_hidden_state, output.last_hidden_state.mean(1) if pooled is None else pooled


class ClipTower(VisionTower):
    """See the file."""

    whole: ClassVar[dict[str, str]] = {"clip": "CLIPModel", "clip_vision_model": "CLIPVisionModel"}
    preparers: ClassVar[tuple[str, ...]] = ("CLIPImageProcessorPil",)

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """See ``Tower``."""
        from transformers import CLIPVisionModel

        built: nn.Module = CLIPVisionModel._from_config(config)
        return built

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        return [self.vision().post_layernorm]


class ClipProjectionTower(ClipTower):
    """The same with its projection."""

    whole: ClassVar[dict[str, str]] = {"clip": "CLIPModel", "clip_vision_model": "CLIPVisionModelWithProjection"}

    @classmethod
    def part_config(cls, config: PretrainedConfig) -> PretrainedConfig:
        """See ``Tower``: with the width of the projection, which a whole model's configuration says."""
        found = super().part_config(config)
        found.projection_dim = config.projection_dim
        return found

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """See ``Tower``."""
        from transformers import CLIPVisionModelWithProjection

        built: nn.Module = CLIPVisionModelWithProjection._from_config(config)
        return built

    @classmethod
    def part(cls, whole: Any) -> nn.Module:
        """See ``Tower``."""
        if not hasattr(whole, "text_model"):
            found: nn.Module = whole
            return found
        joined: Any = cls.build(whole.config.vision_config)
        joined.vision_model, joined.visual_projection = whole.vision_model, whole.visual_projection
        built: nn.Module = joined
        return built

    @property
    def width(self) -> int:
        """See ``Tower``."""
        return int(self.model.config.projection_dim)

    def vision(self) -> Any:
        """See ``VisionTower``."""
        return self.model.vision_model

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        return [self.vision().post_layernorm, self.model.visual_projection]

    def as_encoded(self, output: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``VisionTower``."""
        tokens = self.model.visual_projection(self.vision().post_layernorm(output.last_hidden_state))
        return tokens, self.model.visual_projection(output.pooler_output)
