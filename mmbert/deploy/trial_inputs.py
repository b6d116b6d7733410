"""Batches by which an export is traced and checked: rows of real ones, or made of noise where there is no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.types import Inputs
from mmbert.data.modalities.processor import Processor

#: Of made texts and sequences, a length for each sample in turn.
LENGTHS = (9, 4, 14, 1, 6, 11)
MADE_WORDS = ("two", "seven", "and", "the", "larger", "of", "both", "blue", "train")


def made_inputs(processors: Mapping[str, Processor], size: int, seed: int = 0) -> dict[str, Inputs]:
    """A batch of random words and noise, every sample with all modalities, of different lengths.

    Args:
        processors: by encoder.
        size: B.
        seed: of the values.

    Raises:
        InputError: an encoder reads another kind of input than texts, pictures, sounds and features.
    """
    draw = np.random.default_rng(seed)
    inputs = {}
    for place, (name, processor) in enumerate(processors.items()):
        lengths = [LENGTHS[(row + place + seed) % len(LENGTHS)] for row in range(size)]
        raws = [made_value(name, processor, length, draw) for length in lengths]
        inputs[name] = processor.collate([processor.prepare(raw) for raw in raws])
    return inputs


def made_value(name: str, processor: Any, length: int, draw: np.random.Generator) -> Any:
    """A raw value of a processor's kind."""
    if processor.kind == "text":
        return " ".join(draw.choice(MADE_WORDS, length))
    if processor.kind == "image":
        from PIL import Image

        return Image.fromarray(draw.integers(0, 256, (*processor.size, 3), dtype=np.uint8))
    if processor.kind == "audio":
        rate = processor.sample_rate_hz
        samples = processor.min_samples + int(length / 16 * rate)
        return draw.normal(0, 0.1, samples).astype(np.float32), rate
    if processor.kind == "features":
        return draw.normal(size=(length, processor.width)).astype(np.float32)
    raise InputError(
        f"'{name}' reads the kind of input '{processor.kind}', of which no sample can be made: export with the run's "
        "own data (check=data)."
    )


def rows_trimmed(inputs: Mapping[str, Inputs], rows: Sequence[int]) -> dict[str, Inputs]:
    """Some samples of a batch, in this order, less the padding that none of them needs.

    Args:
        inputs: of a batch, by encoder.
        rows: places in it.
    """
    index = torch.tensor(list(rows))
    return {name: trimmed({key: x[index] for key, x in tensors.items()}) for name, tensors in inputs.items()}


def trimmed(tensors: Inputs) -> Inputs:
    """One encoder's inputs without the padding at the end that no sample needs; where nothing is real, all of it."""
    mask = tensors["mask"]
    if mask.ndim != 2 or mask.shape[1] == 1 or not bool(mask.any()):
        return dict(tensors)
    length = int(mask.any(0).nonzero().max()) + 1
    return {key: x[:, :length] if x.ndim > 1 and x.shape[1] == mask.shape[1] else x for key, x in tensors.items()}


def padded_by(tensors: Inputs, extra: int) -> Inputs:
    """One encoder's inputs with more padding at the end of every sequence; pictures stay."""
    mask = tensors["mask"]
    if mask.ndim != 2 or mask.shape[1] == 1:
        return dict(tensors)
    found: Inputs = {}
    for key, x in tensors.items():
        if x.ndim > 1 and x.shape[1] == mask.shape[1]:
            x = torch.cat([x, x.new_zeros(x.shape[0], extra, *x.shape[2:])], 1)
        found[key] = x
    return found


def only_modalities(inputs: Mapping[str, Inputs], kept: Sequence[str]) -> dict[str, Inputs]:
    """The same batch, all other modalities' masks False; what their tensors hold stays, and must not count."""

    def without(tensors: Inputs) -> Inputs:
        return {**tensors, "mask": torch.zeros_like(tensors["mask"])}

    return {name: dict(tensors) if name in kept else without(tensors) for name, tensors in inputs.items()}


def present_rows(inputs: Mapping[str, Inputs], kept: Sequence[str]) -> list[int]:
    """Places of the samples that have one of these modalities at least."""
    masks: list[Tensor] = [inputs[name]["mask"].flatten(1).any(1) for name in kept]
    return [int(row) for row in torch.stack(masks).any(0).nonzero().flatten()]
