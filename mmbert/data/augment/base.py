"""``InputAugmentation``, base class: data augmentation for one kind of input, with the options of ``augment.KIND``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmbert.core.types import Inputs


class InputAugmentation:
    """A subclass takes its options as keyword arguments and overrides ``prepare``, ``collated``, or both.

    Raises:
        ConfigError: from the constructor, where an option lies outside its range.
    """

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        raise NotImplementedError

    def check(self, encoder: str, processor: Any) -> None:
        """Refuses an encoder whose processor cannot be changed.

        Raises:
            ConfigError: names the encoder.
        """

    def prepare(self, raw: Any, processor: Any, random: np.random.Generator) -> Any:
        """A sample's raw value -> what ``processor.prepare`` gives for a changed one.

        Args:
            raw: see ``Processor``; it is left as it is.
            processor: of the encoder.
            random: the sample's own random numbers in this epoch.
        """
        return processor.prepare(raw)

    def collated(self, inputs: Inputs, processor: Any, randoms: Iterator[np.random.Generator]) -> Inputs:
        """A batch of prepared inputs, changed where that is easier than sample by sample; one generator a sample."""
        return inputs
