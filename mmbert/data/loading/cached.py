"""Stored encoder outputs: what the store keeps of one sample, and a batch of such samples as an encoder's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.processor import Processor

#: Names of a stored batch's tensors: tokens (B, L, D), vectors (B, D), and the rows that are not among them (n,).
TOKENS, POOLED, FRESH = "stored.tokens", "stored.pooled", "stored.fresh"
#: Before the names of the tensors that an encoder computes those rows from.
PART = "fresh."
#: NumPy has no bfloat16: its bits are kept as whole numbers.
BFLOAT16 = np.dtype("uint16")


@dataclass(frozen=True)
class StoredTokens:
    """What is kept of one encoded sample; views of a file, not to be written to.

    Attributes:
        tokens: (L, D); None where they are not read; the vector then serves as the only token.
        pooled: (D,).
    """

    tokens: np.ndarray | None
    pooled: np.ndarray


class Source(Protocol):
    """Where the prepared values of a table's rows may be found."""

    def row(self, row: int) -> Any:
        """What is kept of a row: ``StoredTokens``, or what its ``Processor.prepare`` gave; None = nothing."""
        ...


def collate_stored(values: Sequence[Any], processor: Processor) -> Inputs:
    """Values of a batch, at least one of them ``StoredTokens``, None where missing -> what ``Encoder`` takes.

    Rows that were not stored are collated by the processor; the encoder computes and inserts them.
    """
    stored = {place: value for place, value in enumerate(values) if isinstance(value, StoredTokens)}
    first = next(iter(stored.values()))
    pooled = np.zeros((len(values), len(first.pooled)), first.pooled.dtype)
    lengths = np.zeros(len(values), np.int64)
    for place, value in stored.items():
        pooled[place] = value.pooled
        lengths[place] = 1 if value.tokens is None else len(value.tokens)
    mask = np.arange(lengths.max()) < lengths[:, None]
    inputs = {POOLED: as_float(pooled), "mask": torch.from_numpy(mask)}
    if first.tokens is not None:
        tokens = np.zeros((*mask.shape, pooled.shape[1]), pooled.dtype)
        for place, value in stored.items():
            tokens[place, : lengths[place]] = value.tokens
        inputs[TOKENS] = as_float(tokens)
    fresh = [place for place, value in enumerate(values) if value is not None and place not in stored]
    if fresh:
        computed = processor.collate([values[place] for place in fresh])
        inputs |= {f"{PART}{name}": tensor for name, tensor in computed.items()}
        inputs[FRESH] = torch.tensor(fresh)
    return inputs


def as_float(array: np.ndarray) -> Tensor:
    """Numbers as they are kept -> float32."""
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16).float() if array.dtype == BFLOAT16 else tensor.float()


def stored_batch(inputs: Inputs) -> Encoded:
    """Inputs with stored outputs -> ``Encoded``; where tokens were not read, each sample's vector is its only token."""
    pooled = inputs[POOLED]
    return Encoded(inputs.get(TOKENS, pooled.unsqueeze(1)), inputs["mask"], pooled)


def present(inputs: Inputs) -> Tensor:
    """(B,) bool: which samples of a batch have the modality that these inputs are of."""
    found = inputs["mask"].any(1)
    if FRESH in inputs:  # rows that are not stored have a mask of their own
        found = found.index_put((inputs[FRESH],), inputs[f"{PART}mask"].any(1))
    return found


def insert_rows(stored: Encoded, rows: Tensor, fresh: Encoded) -> Encoded:
    """A batch (B, L, D) in which some rows (n,) are replaced by others (n, L', D)."""
    size, length = len(stored.mask), max(stored.mask.shape[1], fresh.mask.shape[1])
    tokens = stored.tokens.new_zeros(size, length, stored.tokens.shape[2])
    mask = stored.mask.new_zeros(size, length)
    tokens[:, : stored.tokens.shape[1]], mask[:, : stored.mask.shape[1]] = stored.tokens, stored.mask
    tokens[rows, : fresh.tokens.shape[1]] = fresh.tokens.to(tokens.dtype)
    mask[rows, : fresh.mask.shape[1]] = fresh.mask
    return Encoded(tokens, mask, stored.pooled.index_copy(0, rows, fresh.pooled.to(stored.pooled.dtype)))
