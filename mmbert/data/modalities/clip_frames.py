"""The pictures of clips, at the moments that are wanted: those that a player shows then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError
from mmbert.data.modalities.clip_files import (
    ClipSource,
    NoTrackError,
    decoded_frames,
    first_moment,
    opened_clip,
    refuse_short,
    video_stream,
)

if TYPE_CHECKING:
    from PIL.Image import Image

#: Frames are skipped by their key frames where the next wanted one lies so many seconds ahead.
SKIPPED_SECONDS = 4.0
#: Time stamps are rounded by so much.
ROUNDING = 1e-4


def frames_at(source: ClipSource, times: Sequence[float]) -> list[Image]:
    """The pictures that a player shows at some moments, upright and in mode RGB.

    Args:
        source: a file, or an open one.
        times: in ascending order, seconds of the clip.

    Raises:
        NoTrackError: it has no moving pictures.
        DataError: it cannot be read, or ends long before the last of these moments.
    """
    with opened_clip(source) as container:
        stream = video_stream(container)
        if stream is None:
            raise NoTrackError("it has no moving pictures")
        aspect = float(stream.codec_context.sample_aspect_ratio or 0)
        stream.thread_type = "NONE"  # loaders have processes; threads of each would stand in one another's way
        found: list[Image] = []
        shown: Any = None
        frames = timed_frames(container, stream)
        ahead = next(frames, None)
        for wanted in times:
            if ahead is not None and wanted - ahead[0] > SKIPPED_SECONDS:
                container.seek(int((wanted + first_moment(container)) / stream.time_base), stream=stream)
                frames = timed_frames(container, stream)
                shown, ahead = None, next(frames, None)
            while ahead is not None and (shown is None or ahead[0] <= wanted + ROUNDING):
                shown, ahead = ahead, next(frames, None)
            if shown is None:
                raise DataError(f"it breaks off: no picture can be decoded at {wanted:.2f} seconds")
            if ahead is None:
                refuse_short(shown[0] + shown[2], wanted, "pictures")
            found.append(upright(shown[1], aspect))
    return found


def timed_frames(container: Any, stream: Any) -> Iterator[tuple[float, Any, float]]:
    """Pictures as they are decoded: when each is shown, and for how long, in seconds."""
    usual = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    for frame in decoded_frames(container, stream):
        if frame.time is not None:
            held = float(frame.duration * frame.time_base) if frame.duration else usual
            yield frame.time - first_moment(container), frame, held


def upright(frame: Any, aspect: float) -> Image:
    """A decoded frame in mode RGB, turned as the camera was held, with square pixels.

    Args:
        frame: of PyAV.
        aspect: width of a pixel over its height; 0 = not known.
    """
    from PIL.Image import Resampling

    image: Image = frame.to_image()
    if aspect not in (0, 1):
        image = image.resize((max(1, round(image.width * aspect)), image.height), Resampling.BICUBIC)
    if frame.rotation % 360:
        image = image.rotate(frame.rotation, expand=True)
    return image
