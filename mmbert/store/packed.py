"""``PackingProcessor``: prepares samples in the packed form in which the store keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmbert.data.modalities.registry import modality_of


class PackingProcessor:
    """A processor whose ``prepare`` returns the arrays that are written to disk.

    Args:
        processor: a ``Storable`` one.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.modality = modality_of(processor)
        if hasattr(processor, "max_seconds"):
            self.max_seconds = processor.max_seconds

    def prepare(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        """See ``Storable.pack``."""
        packed: tuple[np.ndarray, np.ndarray] = self.processor.pack(raw)
        return packed
