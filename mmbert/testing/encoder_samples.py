"""Raw samples for trying out an encoder, and its inputs with padding changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Inputs
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder


@dataclass(frozen=True)
class EncoderCase:
    """An encoder class with its options, and what it is tried on.

    Attributes:
        build: options -> the encoder, built anew with the same random state at every call.
        samples: raw samples as the processor's ``prepare`` takes them, of different sizes; None = made-up ones.
    """

    build: Callable[..., Encoder]
    samples: Sequence[Any] | None = None

    def make(self, seed: int = 0, **options: Any) -> Encoder:
        """The encoder, built with the random state of ``seed`` and further options."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build(**options)

    def values(self, encoder: Encoder) -> list[Any]:
        """Samples of ordinary content and different sizes."""
        return self._made_up(encoder)[0]

    def unusual(self, encoder: Encoder) -> list[Any]:
        """Samples that occur in real tables and are easily forgotten: empty, tiny, huge, silent."""
        return self._made_up(encoder)[1]

    def _made_up(self, encoder: Encoder) -> tuple[list[Any], list[Any]]:
        if self.samples is not None:
            return list(self.samples), list(self.samples)
        ordinary, unusual = modality_of(encoder).made_up(encoder.processor, np.random.default_rng(0))
        if not ordinary:
            raise InputError(
                f"There are no made-up samples of the kind '{modality_of(encoder).kind}': pass some of different "
                f"sizes, as {type(encoder).__name__}'s processor takes them, as samples=[...]."
            )
        return ordinary, unusual


def collated(encoder: Encoder, values: Iterable[Any]) -> Inputs:
    """Raw samples, None = the sample lacks the modality -> the encoder's inputs."""
    prepare = encoder.processor.prepare
    return encoder.processor.collate([None if value is None else prepare(value) for value in values])


def sample_tensors(encoded: Encoded, row: int) -> dict[str, Tensor]:
    """One sample's real tokens (L_real, D) and its vector (D,), by name."""
    return {"tokens": encoded.tokens[row][encoded.mask[row]], "pooled": encoded.pooled[row]}


def encoded_tensors(encoded: Encoded) -> dict[str, Tensor]:
    """``tokens`` (B, L, D) and ``pooled`` (B, D), by name."""
    return {"tokens": encoded.tokens, "pooled": encoded.pooled}


def with_garbage(inputs: Inputs, junk: float) -> Inputs:
    """The same inputs with garbage wherever ``mask`` (B, L) is False: ``junk``, or a number no vocabulary has.

    Tensors that are not (B, L, ...) are filled in the rows of samples that lack the modality.
    """
    mask = inputs["mask"]
    filled = {"mask": mask}
    for name, tensor in inputs.items():
        if name == "mask":
            continue
        hidden = ~mask if tensor.shape[:2] == mask.shape else ~mask.any(1, keepdim=True)
        hidden = hidden.view(*hidden.shape, *[1] * (tensor.ndim - 2)) if tensor.ndim > 1 else hidden.squeeze(1)
        whole: float = True if tensor.dtype == torch.bool else 10**6
        filled[name] = tensor.masked_fill(hidden, junk if tensor.is_floating_point() else whole)
    return filled


def with_padding(inputs: Inputs, extra: int) -> Inputs:
    """The same inputs with ``extra`` further places of zeros at the end of every tensor (B, L, ...)."""
    shape = inputs["mask"].shape
    return {
        name: torch.cat([tensor, tensor.new_zeros(shape[0], extra, *tensor.shape[2:])], 1)
        if tensor.shape[:2] == shape and shape[1] > 1  # a mask of one place is that of a whole picture
        else tensor
        for name, tensor in inputs.items()
    }
