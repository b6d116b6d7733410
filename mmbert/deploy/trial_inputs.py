"""Batches by which an export is traced and checked: rows of real ones, or made of noise where there is no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.types import Batch, Inputs
from mmbert.data.modalities.processor import Processor
from mmbert.model import MultimodalModel

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
        inputs[name] = cut_to_graph(processor, processor.collate([processor.prepare(raw) for raw in raws]))
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
    cut = {key: x[:, :length] if x.ndim > 1 and x.shape[1] == mask.shape[1] else x for key, x in tensors.items()}
    return {key: x.contiguous() for key, x in cut.items()}  # the exporter to ONNX fails on views with gaps


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


def traceable_rows(batches: Sequence[Batch], model: MultimodalModel, count: int) -> list[dict[str, Inputs]]:
    """Inputs of a data set's batches, fit to be traced by and to check with.

    Args:
        batches: of a split; rows that only fill up a batch, and samples without any modality, are left out.
        model: whose encoders read them.
        count: samples that are wanted.

    Returns:
        The samples as one batch, and their second half as another.

    Raises:
        InputError: fewer than two samples are there, or none has one of the modalities.
    """
    names = list(model.named_encoders())
    parts = []
    for batch in batches:
        real = set((batch.rows >= 0).nonzero().flatten().tolist())
        rows = [row for row in present_rows(batch.inputs, names) if row in real]
        if rows:
            parts.append(rows_trimmed(batch.inputs, rows))
    whole = {name: joined_inputs([part[name] for part in parts]) for name in names} if parts else {}
    size = min(count, len(whole[names[0]]["mask"])) if whole else 0
    if size < 2:
        raise InputError(f"Of the split {size} samples can be read, where two at least are needed: choose another.")
    whole = rows_trimmed(whole, range(size))
    whole = {name: cut_to_graph(model.named_encoders()[name].processor, x) for name, x in whole.items()}
    return [whole, rows_trimmed(whole, range(size // 2, size))]


def joined_inputs(parts: Sequence[Inputs]) -> Inputs:
    """The same encoder's inputs of several batches as those of one, padded to the longest."""
    longest = max(part["mask"].shape[1] for part in parts)
    keys = {key for part in parts for key in part}
    grown = [padded_by(part, longest - part["mask"].shape[1]) for part in parts]
    return {key: torch.cat([tensor_or_false(part, key) for part in grown]) for key in sorted(keys)}


def tensor_or_false(part: Inputs, key: str) -> Tensor:
    """A tensor that only some batches have (of pairs of texts), False where it is absent."""
    return part[key] if key in part else torch.zeros_like(part["mask"])


def cut_to_graph(processor: Any, tensors: Inputs) -> Inputs:
    """Texts that the model would run in windows, which the graph lacks, without what is beyond the first."""
    window = getattr(processor, "window", None)
    length = tensors["mask"].shape[1]
    if window is None or length <= window:
        return tensors
    return {key: x[:, :window] if x.ndim > 1 and x.shape[1] == length else x for key, x in tensors.items()}
