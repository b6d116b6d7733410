"""Samples given as ordinary Python values: what ``MultimodalModel.predict`` makes the encoders' inputs of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class PreparedSample:
    """One sample as far as it can be prepared alone.

    Attributes:
        values: what ``Processor.prepare`` gave, by encoder name; a modality that is absent has no entry.
        alignments: of the modalities that tasks are aligned to, those that are present.
    """

    values: dict[str, Any]
    alignments: dict[str, Any]


def prepared_sample(
    raws: Mapping[str, Any], processors: Mapping[str, Processor], aligned_to: Collection[str]
) -> PreparedSample:
    """Raw values as ``Processor.prepare`` takes them -> what ``collate_samples`` makes a batch of.

    Args:
        raws: by encoder name, those that are present.
        processors: the encoders' preprocessing, by encoder name.
        aligned_to: the modalities whose alignments are wanted.
    """
    values = {name: processors[name].prepare(raw) for name, raw in raws.items()}
    alignments = {name: processors[name].alignment(raws[name]) for name in aligned_to if name in raws}  # type: ignore[attr-defined]
    return PreparedSample(values, alignments)


def collate_samples(
    samples: Sequence[PreparedSample], processors: Mapping[str, Processor], aligned_to: Collection[str]
) -> tuple[dict[str, Inputs], dict[str, list[Any]]]:
    """Samples -> a batch's inputs by encoder, on the CPU, and its alignments; arguments as of ``prepared_sample``."""
    inputs = {
        name: processor.collate([sample.values.get(name) for sample in samples])
        for name, processor in processors.items()
    }
    return inputs, {name: [sample.alignments.get(name) for sample in samples] for name in aligned_to}


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
    prepared = []
    for sample in samples:
        raws = {
            name: modality_of(processor).from_python(sample[name], processor)
            for name, processor in processors.items()
            if name in sample
        }
        prepared.append(prepared_sample(raws, processors, aligned_to))
    return collate_samples(prepared, processors, aligned_to)


def is_empty_text(value: Any) -> bool:
    """A string of nothing, or of white space alone, stands for an absent modality, as such a cell does in a table."""
    return isinstance(value, str) and not value.strip()
