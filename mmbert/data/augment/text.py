"""Data augmentation for text: random tokens become the tokenizer's mask token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.core.types import Inputs
from mmbert.data.augment.base import InputAugmentation


class TextAugmentation(InputAugmentation):
    """Options of ``augment.text``.

    Args:
        mask: share of the tokens that become the mask token, special tokens excepted.

    Raises:
        ConfigError: the share is out of range.
    """

    def __init__(self, mask: Annotated[float, Range(0, below=1)] = 0.0) -> None:
        self.mask = float(mask)
        if not 0 <= self.mask < 1:
            raise ConfigError(f"augment.text.mask={self.mask} must be at least 0 and below 1.")

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return bool(self.mask)

    def check(self, encoder: str, processor: Any) -> None:
        """Refuses a processor that cannot mask tokens.

        Raises:
            ConfigError: names the encoder.
        """
        if self.mask and not hasattr(processor, "mask_tokens"):
            raise ConfigError(f"augment.text.mask cannot change what the encoder '{encoder}' prepares by itself.")

    def collated(self, inputs: Inputs, processor: Any, randoms: Iterator[np.random.Generator]) -> Inputs:
        """See ``InputAugmentation``."""
        changed: Inputs = processor.mask_tokens(inputs, self.mask, list(randoms)) if self.mask else inputs
        return changed
