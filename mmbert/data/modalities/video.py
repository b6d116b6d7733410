"""Video: the moving pictures of a clip; its sound is another modality, which may read the same column."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation, degraded_image
from mmbert.data.modalities import clip_files, clip_frames, clips
from mmbert.data.modalities.base import WHOLE_INPUT, CellFacts, TimeSpan, span_of_cell
from mmbert.data.modalities.clip_files import cell_clip_facts, clip_facts
from mmbert.data.modalities.clips import Clip, FrameStack, MovingPictures
from mmbert.data.modalities.media import MediaModality, data_uri
from mmbert.data.modalities.processor import Processor

#: Pictures of an example, and their longest side in pixels.
EXAMPLE_FRAMES, EXAMPLE_PIXELS = 4, 128


class VideoModality(MediaModality):
    """Any clip that ffmpeg reads: mp4, mkv, webm, mov, avi, ...; frames are decoded when a processor asks for them."""

    kind = "video"
    noun = "clip"
    length_unit = "seconds"
    lasts = True
    lacking = ("clip has no moving pictures", "clips have no moving pictures")
    logs_padding = False
    code = (clip_files.__name__, clip_frames.__name__, clips.__name__)
    libraries = ("torch", "timm", "pillow", "av")
    python_example = '"clip.mp4"'

    def decode(
        self, source: str | Path | BinaryIO, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT
    ) -> Clip:
        """See ``MediaModality``: -> the clip, its header read."""
        if max_seconds is not None:
            last = part.start + max_seconds
            part = TimeSpan(part.start, last if part.end is None else min(last, part.end))
        return Clip.opened(str(source) if isinstance(source, (str, Path)) else source.read(), part)

    def from_python(self, value: Any, processor: Processor) -> MovingPictures:
        """A path, or ``(pictures, frames_per_second)`` with pictures (T, height, width, 3) uint8; see ``Modality``."""
        if isinstance(value, (str, Path)):
            found: Clip = super().from_python(value, processor)
            return found
        if isinstance(value, (Clip, FrameStack)):
            return value
        try:
            pictures, rate = value
            stack = np.asarray(pictures)
            fitting = stack.dtype == np.uint8 and stack.ndim == 4 and stack.shape[3] == 3 and stack.size > 0
            if not fitting or not 0 < float(rate) < float("inf"):
                raise ValueError(f"their shape is {stack.shape} and their type {stack.dtype}")
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The clip given cannot be used ({error}): give a path, or (pictures, frames_per_second) with pictures "
                "(T, height, width, 3) of uint8."
            ) from error
        return FrameStack(stack, float(rate))

    def may_lack(self, name: str) -> bool:
        """See ``Modality``: clips."""
        return clip_files.is_clip_name(name)

    def has_nothing(self, cell: Any, folder: str | Path) -> bool:
        """See ``Modality``: a clip without moving pictures."""
        facts = cell_clip_facts(cell, folder)
        return facts is not None and not facts.video

    def length(self, cell: Any, folder: str | Path) -> float:
        """See ``Modality``: seconds, from the file's header."""
        facts = cell_clip_facts(cell, folder)
        return 0.0 if facts is None else span_of_cell(cell).seconds(facts.seconds or 0.0)

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[FrameStack], list[FrameStack]]:
        """See ``Modality``: noise of several lengths and shapes; then one picture, and many."""

        def noise(count: int, height: int, width: int, rate: float = 10.0) -> FrameStack:
            return FrameStack(random.integers(0, 256, (count, height, width, 3), np.uint8), rate)

        return [noise(30, 20, 30), noise(3, 16, 16), noise(12, 40, 9)], [noise(1, 8, 8), noise(200, 4, 4, 25.0)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: seconds, width and height, pictures a second; the last picture is decoded."""
        clip = self.read(cell, folder, options.get("max_seconds"))
        facts = self.using(cell, folder, clip_facts)
        clip.frames([max(0.0, clip.seconds - 0.5 / (facts.frames_per_second or 25))])
        size = {"width": facts.width, "height": facts.height, "frames_per_second": facts.frames_per_second}
        return CellFacts(digest=self.stored_digest(cell, folder), quantities={"seconds": clip.seconds, **size})

    def corrupted(
        self, raw: MovingPictures, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: noise or blur on every picture that is read."""
        return processor.prepare(DamagedClip(raw, level, random, options))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: a few of its pictures side by side."""
        clip = self.read(cell, folder)
        times = [(place + 0.5) * clip.seconds / EXAMPLE_FRAMES for place in range(EXAMPLE_FRAMES)]
        shown = []
        for image in clip.frames(times):
            image.thumbnail((EXAMPLE_PIXELS, EXAMPLE_PIXELS))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG")
            shown.append(f'<img alt="a picture of the clip" src="{data_uri(buffer.getvalue(), "image/jpeg")}">')
        return " ".join(shown)


class DamagedClip:
    """A clip whose pictures are damaged as they are read; see ``MovingPictures``."""

    def __init__(self, clip: MovingPictures, level: float, random: np.random.Generator, options: Degradation) -> None:
        self.clip, self.change = clip, partial(degraded_image, level=level, random=random, options=options)
        self.seconds = clip.seconds

    def frames(self, times: Any) -> list[Any]:
        """See ``MovingPictures``."""
        return [self.change(image) for image in self.clip.frames(times)]


MODALITY = VideoModality()
