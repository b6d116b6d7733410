"""``Augmentation``: data augmentation of training samples. Every random draw depends on seed, epoch and row alone.

So the same run gives the same samples with any number of loader workers, and a resumed run goes on with the samples
that the interrupted one would have seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.ranges import EachEncoder, OptionsOf, Range
from mmbert.core.types import Inputs
from mmbert.data.augment.base import InputAugmentation
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.registry import modality_named, modality_of

#: What draws of one sample are for, so that changing one option leaves the others' draws as they are. Further kinds of
#: input draw by their names.
PURPOSES = {"modalities": 0, "image": 1, "audio": 2, "text": 3}
#: What a chance of losing modalities may be: one for all, or one for each.
CHANCES = EachEncoder(
    Range(0, below=1), "a chance (0.2), or one for each encoder ({text: 0.3, audio: 0.1}),", or_one=True
)


class Augmentation:
    """Options of the config group ``augment``.

    Args:
        image: options of ``ImageAugmentation``, for every encoder of kind image.
        audio: options of ``AudioAugmentation``, for every encoder of kind audio.
        text: options of ``TextAugmentation``, for every encoder of kind text.
        modality_dropout: chance that a sample loses a modality, each for itself: a number, or one by encoder name.
            A sample never loses all (Neverova et al. 2016, arXiv:1501.00102, ModDrop).
        series: options of ``SeriesAugmentation``, for every encoder of kind series.
        **others: options of ``Modality.augmentation`` of further kinds of input, by kind.

    Raises:
        ConfigError: an option lies outside its range.
    """

    def __init__(
        self,
        image: Annotated[Mapping[str, Any] | None, OptionsOf("mmbert.data.augment.image.ImageAugmentation")] = None,
        audio: Annotated[Mapping[str, Any] | None, OptionsOf("mmbert.data.augment.audio.AudioAugmentation")] = None,
        text: Annotated[Mapping[str, float] | None, OptionsOf("mmbert.data.augment.text.TextAugmentation")] = None,
        modality_dropout: Annotated[float | Mapping[str, float], CHANCES] = 0.0,
        series: Annotated[
            Mapping[str, float] | None, OptionsOf("mmbert.data.augment.series.SeriesAugmentation")
        ] = None,
        **others: Mapping[str, Any] | None,
    ) -> None:
        given = {"image": image, "audio": audio, "text": text, "series": series}
        self.by_kind = {kind: input_augmentation(modality_named(kind), part or {}) for kind, part in given.items()}
        self.others = {kind: dict(part or {}) for kind, part in others.items()}
        self.modality_dropout = modality_dropout
        shares = modality_dropout.values() if isinstance(modality_dropout, Mapping) else [modality_dropout]
        for share in shares:
            if not 0 <= float(share) < 1:
                raise ConfigError(f"augment.modality_dropout={float(share)} must be at least 0 and below 1.")

    @property
    def active(self) -> bool:
        """Whether anything happens."""
        dropout = self.modality_dropout
        drops = any(dropout.values()) if isinstance(dropout, Mapping) else bool(dropout)
        return drops or any(part.active for part in self.by_kind.values())

    def changes(self, processor: Processor) -> bool:
        """Whether an encoder's inputs are changed; modalities that are left out are not."""
        part = self._of(processor)
        return part is not None and part.active

    def check(self, processors: Mapping[str, Processor]) -> None:
        """Refuses what the encoders at hand cannot do, and makes ready what changes further kinds of input.

        Raises:
            ConfigError: names the encoder.
        """
        if isinstance(self.modality_dropout, Mapping):
            strange = [name for name in self.modality_dropout if name not in processors]
            if strange:
                raise ConfigError(
                    f"augment.modality_dropout names '{strange[0]}', which is no encoder: {', '.join(processors)}."
                )
        read = {modality_of(processor).kind: modality_of(processor) for processor in processors.values()}
        for kind, options in self.others.items():
            if kind not in read:
                raise ConfigError(f"augment.{kind}: no encoder reads this kind of input. {nearest(kind, read)}")
            self.by_kind[kind] = input_augmentation(read[kind], options)
        for name, processor in processors.items():
            part = self._of(processor)
            if part is not None:
                part.check(name, processor)

    def kept(self, present: Sequence[str], draw: int) -> list[str]:
        """Those of a sample's modalities that stay: at least one."""
        chances = [self._chance(name) for name in present]
        if not any(chances):
            return list(present)
        generator = sample_random(draw, "modalities")
        stay = [name for name, chance in zip(present, chances, strict=True) if generator.random() >= chance]
        return stay or [present[int(generator.integers(len(present)))]]

    def _chance(self, name: str) -> float:
        if isinstance(self.modality_dropout, Mapping):
            return float(self.modality_dropout.get(name, 0.0))
        return float(self.modality_dropout)

    def prepare(self, raw: Any, processor: Processor, draw: int) -> Any:
        """A sample's raw value -> what ``processor.prepare`` gives for a changed one."""
        part = self._of(processor)
        if part is None or not part.active:
            return processor.prepare(raw)
        return part.prepare(raw, processor, sample_random(draw, modality_of(processor).kind))

    def collated(self, inputs: Inputs, processor: Processor, draws: Sequence[int]) -> Inputs:
        """A batch of one modality, changed where that is easier than sample by sample."""
        part = self._of(processor)
        if part is None or not part.active:
            return inputs
        kind = modality_of(processor).kind
        return part.collated(inputs, processor, (sample_random(draw, kind) for draw in draws))

    def _of(self, processor: Processor) -> InputAugmentation | None:
        return self.by_kind.get(modality_of(processor).kind)


def input_augmentation(modality: Modality, options: Mapping[str, Any]) -> InputAugmentation:
    """What changes inputs of one kind.

    Raises:
        ConfigError: there is nothing that could, or an option is unknown or out of range.
    """
    if modality.augmentation is None:
        raise ConfigError(f"augment.{modality.kind}: inputs of this kind cannot be changed at random.")
    try:
        return modality.augmentation(**options)
    except TypeError as error:
        raise ConfigError(f"augment.{modality.kind}={dict(options)} cannot be used: {error}.") from error


def sample_draw(seed: int, epoch: int, row: int) -> int:
    """A number from which all of a sample's draws in one epoch follow."""
    return int(np.random.SeedSequence([abs(seed), epoch, row]).generate_state(1, np.uint64)[0])


def sample_random(draw: int, purpose: str) -> np.random.Generator:
    """The random numbers of one sample for one purpose: ``modalities``, or a kind of input."""
    known = PURPOSES.get(purpose)
    return np.random.default_rng([draw, len(PURPOSES) + zlib.crc32(purpose.encode()) if known is None else known])
