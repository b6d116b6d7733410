"""Outer product of vectors, sample by sample: bilinear and tensor fusion read its entries."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def outer_product(vectors: Sequence[Tensor]) -> Tensor:
    """(B, D_1), …, (B, D_M) -> (B, D_1 · … · D_M): each sample's outer product, flattened, last index fastest."""
    product = vectors[0]
    for vector in vectors[1:]:
        product = (product.unsqueeze(2) * vector.unsqueeze(1)).flatten(1)
    return product
