"""``TowerEncoder``: an encoder whose network is a ``Tower``, a part of a model of transformers."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.finetuning import stack
from mmbert.encoders.transformers_model import TransformersEncoder


class TowerEncoder(TransformersEncoder):
    """What encoders of sounds and of pictures share. A subclass builds ``network``, a ``Tower``, and ``processor``."""

    network: Any
    processor: Any

    @property
    def _model(self) -> Any:
        """See ``TransformersEncoder``."""
        return self.network.model

    @property
    def _preparer(self) -> Any:
        """The feature extractor or image processor."""
        return self.processor.preparer

    def continuous(self, inputs: Inputs) -> Continuous:
        """See ``Tower``."""
        found: Continuous = self.network.continuous(inputs)
        return found

    def encode(self, inputs: Inputs) -> Encoded:
        """Inputs, as the processor collates them -> tokens (B, L, D), mask (B, L)."""
        encoded: Encoded = self.network(inputs)
        return encoded

    def layers(self) -> list[list[nn.Parameter]]:
        """What embeds the input, then each layer."""
        return stack(self.network, list(self.network.blocks()), self.network.above())
