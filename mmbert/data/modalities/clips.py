"""``Clip``: moving pictures that are decoded when it is known which of them are wanted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image as pil

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.clip_files import NoTrackError, clip_facts
from mmbert.data.modalities.clip_frames import frames_at
from mmbert.data.modalities.errors import REMEDY, unusable_file, why_no_content

if TYPE_CHECKING:
    from PIL.Image import Image


class MovingPictures(Protocol):
    """What a video encoder's processor is given."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        ...

    def frames(self, times: Sequence[float]) -> list[Image]:
        """The pictures in mode RGB that are shown at some ascending moments, in seconds from its beginning."""
        ...


@dataclass(frozen=True)
class Clip:
    """A clip, or a part of one, in a file or in memory.

    Attributes:
        source: path or bytes.
        part: which is meant.
        seconds: how long that is.
    """

    source: str | bytes
    part: TimeSpan
    seconds: float

    @classmethod
    def opened(cls, source: str | bytes, part: TimeSpan = WHOLE_INPUT) -> Clip:
        """A clip whose header was read.

        Raises:
            NoTrackError: it has no moving pictures.
            DataError: it cannot be read, does not say how long it is, or ends before the part begins.
        """
        facts = clip_facts(io.BytesIO(source) if isinstance(source, bytes) else source)
        if not facts.video:
            raise NoTrackError("it has no moving pictures")
        whole = facts.seconds
        if whole is None and part.end is None:
            raise DataError("it does not say how long it is: write it anew (ffmpeg -i in.mkv -c copy out.mkv)")
        seconds = part.seconds(whole) if whole is not None else (part.end or 0.0) - part.start
        if seconds <= 0:
            raise DataError(f"it is {whole or 0:.2f} s long, and the part from {part.start:g} s on is asked for")
        return cls(source, part, seconds)

    def frames(self, times: Sequence[float]) -> list[Image]:
        """See ``MovingPictures``.

        Raises:
            DataError: it breaks off before the last of these moments.
        """
        moments = [time + self.part.start for time in times]
        try:
            return frames_at(io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source, moments)
        except Exception as error:  # decoders raise whatever a broken file makes them meet
            if isinstance(self.source, str):
                raise unusable_file(self.source, "clip", error) from error
            if isinstance(error, MemoryError):
                raise
            raise DataError(f"the clip in the table: {why_no_content('clip', error)}. {REMEDY}") from error


@dataclass(frozen=True)
class FrameStack:
    """Pictures that are in memory, one after another.

    Attributes:
        pictures: (T, height, width, 3) uint8.
        frames_per_second: how fast they follow one another.
    """

    pictures: np.ndarray
    frames_per_second: float

    @property
    def seconds(self) -> float:
        """See ``MovingPictures``."""
        return len(self.pictures) / self.frames_per_second

    def frames(self, times: Sequence[float]) -> list[Image]:
        """See ``MovingPictures``."""
        places = [min(len(self.pictures) - 1, max(0, int(time * self.frames_per_second))) for time in times]
        return [pil.fromarray(self.pictures[place]) for place in places]
