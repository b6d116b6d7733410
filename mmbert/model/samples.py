"""Samples given as ordinary Python values: what ``MultimodalModel.predict`` makes the encoders' inputs of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmbert.core.errors import InputError, nearest
from mmbert.core.types import Inputs
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_of


def present_values(sample: Mapping[str, Any], index: int, encoders: Collection[str]) -> dict[str, Any]:
    """A sample without the modalities that it lacks.

    Args:
        sample: values by encoder name.
        index: which sample it is, for messages.
        encoders: the names that there are.

    Raises:
        InputError: it has an unknown key or none of the modalities.
    """
    unknown = [key for key in sample if key not in encoders]
    if unknown:
        raise InputError(f"Sample {index} has the key '{unknown[0]}'. {nearest(unknown[0], encoders)}")
    present = {key: value for key, value in sample.items() if value is not None and not is_empty_text(value)}
    if not present:
        raise InputError(f"Sample {index} has no modality at all: give at least one of {', '.join(encoders)}.")
    return present


def prepared_inputs(
    samples: Sequence[Mapping[str, Any]], processors: Mapping[str, Processor], aligned_to: Collection[str]
) -> tuple[dict[str, Inputs], dict[str, list[Any]]]:
    """Samples as ``present_values`` gives them -> a batch's inputs by encoder, on the CPU, and its alignments.

    Args:
        samples: of one batch.
        processors: the encoders' preprocessing, by encoder name.
        aligned_to: the modalities whose alignments are wanted.

    Raises:
        DataError: a file cannot be read.
    """
    inputs, alignments = {}, {}
    for name, processor in processors.items():
        read = modality_of(processor).from_python
        raws = [read(sample[name], processor) if name in sample else None for sample in samples]
        inputs[name] = processor.collate([None if raw is None else processor.prepare(raw) for raw in raws])
        if name in aligned_to:
            alignments[name] = [None if raw is None else processor.alignment(raw) for raw in raws]  # type: ignore[attr-defined]
    return inputs, alignments


def is_empty_text(value: Any) -> bool:
    """A string of nothing, or of white space alone, stands for an absent modality, as such a cell does in a table."""
    return isinstance(value, str) and not value.strip()
