"""``SiglipTower``: the vision tower of SigLIP, one token a patch.

Paper: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", arXiv:2303.15343.

Tokens and vector are those of transformers: the last layer's states after the final norm, and what the attention
pooling makes of them, which is the vector that SigLIP compares with that of a text; there is no further projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from mmbert.encoders.towers.clip import VisionTower

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class SiglipTower(VisionTower):
    """See the file."""

    whole: ClassVar[dict[str, str]] = {"siglip": "SiglipModel", "siglip_vision_model": "SiglipVisionModel"}
    preparers: ClassVar[tuple[str, ...]] = ("SiglipImageProcessorPil",)

    @classmethod
    def build(cls, config: PretrainedConfig) -> nn.Module:
        """See ``Tower``."""
        from transformers import SiglipVisionModel

        built: nn.Module = SiglipVisionModel._from_config(config)
        return built

    def above(self) -> list[nn.Module]:
        """See ``Tower``."""
        head: Any = getattr(self.model, "head", None)
        return [self.model.post_layernorm, *([] if head is None else [head])]
