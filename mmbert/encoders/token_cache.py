"""A cache in memory of the tokens that a frozen text encoder has computed, by the text's token ids.

Epochs after the first, and tables that repeat their sentences, then cost almost nothing. Nothing is written to disk,
and encoders that are trained have no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from mmbert.core.types import Encoded, Inputs


class TokenCache:
    """Rows of ``Encoded`` by the inputs they were computed from; once it is full nothing is added or replaced.

    Args:
        limit_mib: size of the cached tensors, in MiB.
    """

    def __init__(self, limit_mib: float) -> None:
        self.left = limit_mib * 2**20
        self.rows: dict[Hashable, tuple[Tensor, Tensor]] = {}

    def encode(self, inputs: Inputs, compute: Callable[[Inputs], Encoded]) -> Encoded:
        """As ``compute(inputs)``, up to rounding; cached and repeated rows are not computed again.

        Args:
            inputs: tensors whose first dimension is the batch, among them ``mask`` (B, L) bool.
            compute: the encoder; its rows must not depend on each other.

        Returns:
            ``tokens`` (B, L, D), ``mask`` (B, L), ``pooled`` (B, D).
        """
        mask = inputs["mask"]
        keys = row_keys(inputs)
        fresh = {key: row for row, key in enumerate(keys) if key not in self.rows}
        found = {key: self.rows[key] for key in keys if key not in fresh}
        if fresh:
            chosen = torch.tensor(list(fresh.values()), device=mask.device)
            length = max(1, int(mask[chosen].sum(1).max()))
            part = {name: t[chosen, :length] if t.shape[:2] == mask.shape else t[chosen] for name, t in inputs.items()}
            computed = compute(part)
            for place, key in enumerate(fresh):
                real = int(part["mask"][place].sum())
                row = (computed.tokens[place, :real].clone(), computed.pooled[place].clone())
                found[key] = row
                self._keep(key, row)
        first = found[keys[0]][0]
        tokens = first.new_zeros(*mask.shape, first.shape[-1])
        for place, key in enumerate(keys):
            tokens[place, : len(found[key][0])] = found[key][0]
        return Encoded(tokens, mask, torch.stack([found[key][1] for key in keys]))

    def _keep(self, key: Hashable, row: tuple[Tensor, Tensor]) -> None:
        size = sum(tensor.numel() * tensor.element_size() for tensor in row)
        if size <= self.left:
            self.left -= size
            self.rows[key] = row


def row_keys(inputs: Inputs) -> list[Hashable]:
    """For each row the bytes of its real tokens, which come first in it: equal keys have equal outputs."""
    mask = inputs["mask"].cpu()
    counts = mask.sum(1).tolist()
    named = sorted(name for name in inputs if name != "mask")
    arrays = [inputs[name].cpu().numpy() for name in named]
    return [tuple(array[row, : counts[row]].tobytes() for array in arrays) for row in range(len(mask))]
