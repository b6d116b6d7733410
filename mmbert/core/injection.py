"""``LayerInjection``: how a fusion changes an encoder's hidden states between two of its layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from mmbert.core.types import Encoded


@dataclass(frozen=True)
class LayerInjection:
    """A change of hidden states that depends on the other modalities.

    Attributes:
        layer: the states that enter this layer are changed; 0 = the first layer, after the embeddings.
        others: the other modalities of the same B samples, blanked where nothing is real.
        change: hidden (B, L, D), mask (B, L) bool, others -> hidden (B, L, D).
    """

    layer: int
    others: dict[str, Encoded]
    change: Callable[[Tensor, Tensor, dict[str, Encoded]], Tensor]

    def rows(self, index: Tensor) -> LayerInjection:
        """For some of the samples."""
        return LayerInjection(self.layer, {name: x.rows(index) for name, x in self.others.items()}, self.change)

    def __call__(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden (B, L, D), mask (B, L) bool -> (B, L, D)."""
        return self.change(hidden, mask, self.others)
