"""``Processor``: what the data layer asks of an encoder's preprocessing. Loader workers carry it, without weights."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from mmbert.core.types import Inputs
from mmbert.data.modalities.length_limit import LengthLimit


class Processor(Protocol):
    """Turns raw values of one modality into the tensors its encoder reads. Picklable, deterministic, free of weights.

    What ``prepare`` is given depends on the kind of input, see ``Modality.read``:
        text: ``str``.
        image: ``PIL.Image.Image`` in mode RGB, upright.
        audio: ``(waveform, sample_rate_hz)``, waveform (T,) float32 NumPy, one channel, full scale = ±1.
        features: an array (L, D), lists of numbers, or arrays by name.

    Attributes:
        kind: names a file of ``mmbert.data.modalities``. A kind of input that has none there is given as
            ``modality``, an object of a subclass of ``Modality``.
        max_seconds: where the processor has it, no more of an input that lasts is read.
    """

    kind: str

    def prepare(self, raw: Any) -> Any:
        """One sample's value, as far as it can be prepared alone. Runs in the loader's workers."""
        ...

    def collate(self, prepared: list[Any]) -> Inputs:
        """Prepared values of a batch (None = the sample lacks the modality) -> padded tensors and ``mask``."""
        ...


@runtime_checkable
class Storable(Protocol):
    """What a processor has besides, if its work may be kept on disk.

    ``collate`` gives the same of ``unpack(*pack(raw))`` as of ``prepare(raw)``, and takes both in one batch. What is
    best done for many samples at once, such as making numbers of colours, is left to ``collate``.

    Attributes:
        packed: NumPy's names of the types of the two arrays that are kept, and the length of the second.
    """

    packed: tuple[str, str, int]

    def settings(self) -> dict[str, Any]:
        """Everything that prepared values depend on beside the raw one."""
        ...

    def pack(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        """One sample's value as an array of any length, in the smallest exact form, and one of fixed length."""
        ...

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> Any:
        """What ``collate`` takes; the first array comes flat, and neither may be written to. Views of them will do."""
        ...


@runtime_checkable
class Cutting(Protocol):
    """What a processor has besides, if it cuts long inputs: it is then told how many of a table are cut."""

    @property
    def length_limit(self) -> LengthLimit | None:
        """Where it cuts; None = nowhere."""
        ...


@runtime_checkable
class Aligned(Protocol):
    """What a processor of texts or sounds has besides, if tasks may label words, characters or moments."""

    def alignment(self, raw: Any) -> dict[str, Any]:
        """Of L tokens, as many as the encoder gives of this raw value: which part of it each is.

        Returns:
            Of a text ``input_ids`` (L,) int64; ``word_ids`` (L,) int64, the word counted from 0, -1 for special tokens;
            ``offsets`` (L, 2) int64, beginning and end in characters of ``raw``, both 0 for special tokens; ``text``,
            ``raw`` itself. Of a sound ``times`` (L, 2) float64, beginning and end in seconds; they follow on one
            another.
        """
        ...


@runtime_checkable
class AlignedAsPrepared(Aligned, Protocol):
    """An ``Aligned`` processor that need not read a raw value again to say which part of it each token is."""

    def alignment_of(self, prepared: Any) -> dict[str, Any]:
        """The same of what ``prepare``, or ``unpack``, gave."""
        ...

    def alignment_of_tokens(self, count: int) -> dict[str, Any]:
        """The same of a sample of which the encoder gave so many tokens."""
        ...
