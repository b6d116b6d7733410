"""Media files as ffmpeg reads them, by PyAV: headers and sound tracks of clips (mp4, mkv, webm, mov, avi, ...).

Of a file that somebody else made nothing but its own bytes is read: ffmpeg gets an open file and a list of formats,
none of which names other files or addresses.

Times are seconds from the beginning of the clip, as a player shows them: a track that begins late has nothing before.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.base import bytes_and_name
from mmbert.data.tables.times import seconds_of

ClipSource = str | Path | BinaryIO

#: Endings of files that may hold pictures and sound, or sound that libsndfile does not read.
CLIP_ENDINGS = frozenset(
    [".mp4", ".m4v", ".mov", ".m4a", ".m4b", ".3gp", ".3g2", ".mkv", ".mka", ".webm", ".avi", ".wmv", ".wma", ".asf"]
    + [".flv", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".ogv", ".aac", ".ac3", ".amr", ".caf", ".ape", ".wv"]
    + [".tta", ".mpc"]
)
#: ffmpeg's names of the formats that are read; playlists and whatever else names further files are not among them.
CONTAINER_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,ogg,tta,wav,w64,wv"
)
#: How a file is opened; a wrong letter in its title is no reason to refuse it.
OPENING: dict[str, Any] = {"container_options": {"format_whitelist": CONTAINER_FORMATS}, "metadata_errors": "ignore"}
#: A track may be so much shorter than its header says, in seconds and as a share: frames are rounded, encoders wait.
TOLERATED_SECONDS, TOLERATED_SHARE = 0.25, 0.02
#: Seconds that are decoded before the part that is wanted, so that decoders have settled (Opus asks for 0.08).
SETTLING = 0.5
#: Samples of one channel that are held in memory at once.
MOST_SAMPLES = 2**28
#: With which Matroska, ASF, FLV and AAC begin; and how many bytes say what a file is.
FIRST_BYTES_OF_CLIPS = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75", b"FLV\x01", b"\xff\xf1", b"\xff\xf9")
SNIFFED_BYTES = 12
MISSING = "clips are read by PyAV: pip install 'mmbert[video]'"


class NoTrackError(DataError):
    """A clip has no track of the kind that is wanted: for its sample the modality is missing."""


@dataclass(frozen=True)
class ClipFacts:
    """What a clip's header says.

    Attributes:
        seconds: its length; None = it does not say.
        video: whether it has moving pictures; a cover picture is none.
        audio: whether it has sound.
        width, height, frames_per_second: of the pictures, 0 without.
        hertz: of the sound, 0 without.
    """

    seconds: float | None
    video: bool
    audio: bool
    width: int = 0
    height: int = 0
    frames_per_second: float = 0.0
    hertz: int = 0


def has_av() -> bool:
    """Whether PyAV is installed."""
    from importlib.util import find_spec

    return find_spec("av") is not None


def is_clip_name(name: str) -> bool:
    """Whether a file's ending is that of a clip, or of sound that libsndfile does not read."""
    return Path(name).suffix.lower() in CLIP_ENDINGS


def looks_like_clip(content: bytes) -> bool:
    """Whether bytes begin as MP4 and its kin, Matroska, ASF, FLV, AVI or AAC (ADTS) do; ``SNIFFED_BYTES`` will do."""
    begins = content[4:8] == b"ftyp" or content.startswith(FIRST_BYTES_OF_CLIPS)
    return begins or content[:4] == b"RIFF" and content[8:12] == b"AVI "


def cell_clip_facts(cell: Any, folder: str | Path) -> ClipFacts | None:
    """The header of the clip that a cell names or holds; None where it is no clip, or cannot be read."""
    content, name = bytes_and_name(cell)
    is_clip = is_clip_name(name or "") if content is None else looks_like_clip(content)
    if not is_clip or not has_av():
        return None
    try:
        if content is not None:
            return clip_facts(io.BytesIO(content))
        path = named_file(folder, str(name))
        refuse_special(path)
        return clip_facts(path)
    except (DataError, OSError, ValueError):
        return None


def opened_file(source: ClipSource) -> AbstractContextManager[BinaryIO]:
    """A file to be read, closed at the end if it is opened here."""
    return Path(source).open("rb") if isinstance(source, (str, Path)) else nullcontext(source)


@contextmanager
def opened_clip(source: ClipSource) -> Iterator[Any]:
    """ffmpeg's view of a file, PyAV's ``InputContainer``.

    Raises:
        DataError: PyAV is not installed, or ffmpeg knows no such format or finds the file damaged.
    """
    try:
        import av
    except ImportError as error:
        raise DataError(MISSING) from error
    try:
        with opened_file(source) as file, av.open(file, **OPENING) as container:
            if not container.streams.audio and not container.streams.video:
                raise DataError("ffmpeg cannot read it (it has neither pictures nor sound)")
            yield container
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"ffmpeg cannot read it ({reason})") from error


def video_stream(container: Any) -> Any:
    """The best moving pictures of a clip; None without."""
    from av.stream import Disposition

    streams = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    return streams[0] if streams else None


def clip_facts(source: ClipSource) -> ClipFacts:
    """What the header says; nothing is decoded.

    Raises:
        DataError: see ``opened_clip``.
    """
    with opened_clip(source) as container:
        video, audio = video_stream(container), next(iter(container.streams.audio), None)
        lengths = [found for each in (video, audio) if (found := declared_seconds(container, each)) is not None]
        rate = 0.0 if video is None else float(video.average_rate or video.guessed_rate or 0)
        longest = max(lengths, default=container.duration / 1e6 if container.duration else None)
        return ClipFacts(
            longest,
            video is not None,
            audio is not None,
            0 if video is None else int(video.codec_context.width),
            0 if video is None else int(video.codec_context.height),
            rate,
            0 if audio is None else int(audio.codec_context.sample_rate),
        )


def declared_seconds(container: Any, stream: Any) -> float | None:
    """How long the header says that a track is; None = it does not say."""
    if stream is None:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if written := stream.metadata.get("DURATION"):  # of Matroska's tracks
        try:
            return seconds_of(written)
        except DataError:
            return None
    only = sum(each.type in ("audio", "video") for each in container.streams) == 1
    return container.duration / 1e6 if only and container.duration else None


def first_moment(container: Any) -> float:
    """The time stamp at which a clip begins, in seconds; what lies before 0 is a decoder's run-up, and is not shown."""
    return max(0.0, float((container.start_time or 0) / 1e6))


def decode_track(
    source: ClipSource, max_seconds: float | None = None, start: float = 0.0, end: float | None = None
) -> tuple[np.ndarray, int]:
    """The sound of a clip: the channels' mean, (T,) float32 with full scale ±1, and hertz.

    Args:
        source: a file, or an open one.
        max_seconds: no more is read.
        start: of the part that is wanted, in seconds of the clip.
        end: of the part that is wanted; None = that of the clip.

    Raises:
        NoTrackError: it has no sound.
        DataError: it cannot be read, breaks off within what is read, or has nothing at these times.
    """
    limit = math.inf if end is None else end - start
    limit = min(limit, math.inf if max_seconds is None else max_seconds)
    with opened_clip(source) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise NoTrackError("it has no sound")
        declared = declared_seconds(container, stream)
        sound, rate = sound_between(container, stream, start, limit)
    if not len(sound):
        raise DataError(f"it has no sound after its first {start:g} seconds" if start else "its sound track is empty")
    if declared is not None or end is not None:  # what a part asks for must be there, whatever the header says
        whole = math.inf if declared is None or end is not None else declared - start
        refuse_short(len(sound) / rate, min(limit, whole), "sound")
    if not np.isfinite(sound).all():
        raise DataError("it has samples that are not finite numbers")
    return sound, rate


def measure_track(
    source: ClipSource, max_seconds: float | None = None, start: float = 0.0, end: float | None = None
) -> tuple[float, int]:
    """Seconds of sound in a clip, or in a part of it, and hertz; what is read of it is decoded.

    Raises:
        DataError: see ``decode_track``.
    """
    sound, rate = decode_track(source, max_seconds, start, end)
    return len(sound) / rate, rate


def sound_between(container: Any, stream: Any, start: float, limit: float) -> tuple[np.ndarray, int]:
    """Samples (T,) float32 from a time on, at most so many seconds, and hertz; see ``decode_track``."""
    origin, blocks, length, rate = start if start > 0 else None, [np.zeros(0, np.float32)], 0, 0
    if start > SETTLING:
        container.seek(int((start - SETTLING + first_moment(container)) / stream.time_base), stream=stream)
    begin = None
    for time, samples, rate in mono_frames(container, stream):
        begin = time if begin is None else begin  # of the next samples; frames follow on one another
        origin = begin if origin is None else origin
        first = max(0, round((origin - begin) * rate))
        stop = len(samples) if limit == math.inf else max(0, round((origin + limit - begin) * rate))
        blocks.append(samples[first:stop])
        length += len(blocks[-1])
        if length > MOST_SAMPLES:
            raise DataError(f"it has more than {MOST_SAMPLES:,} samples: read less of it (max_seconds)")
        if stop < len(samples):
            break
        begin += len(samples) / rate
    return np.concatenate(blocks), rate


def mono_frames(container: Any, stream: Any) -> Iterator[tuple[float, np.ndarray, int]]:
    """The frames of a sound track: time of the first sample, the channels' mean (n,) float32, and hertz."""
    import av

    resampler = None
    for frame in decoded_frames(container, stream):
        if resampler is None:
            resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=frame.sample_rate)
        time = (frame.time or 0.0) - first_moment(container)
        for each in resampler.resample(frame):  # to floats; rate and channels stay
            yield time, each.to_ndarray().mean(0, dtype=np.float32), int(each.sample_rate)


def decoded_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames of a track, up to where it cannot be decoded any more; whoever reads them sees how much is missing.

    Raises:
        av.error.FFmpegError: not even the first can be decoded.
    """
    import av

    some = False
    try:
        for frame in container.decode(stream):
            some = True
            yield frame
    except (av.error.InvalidDataError, av.error.EOFError):
        if not some:
            raise


def refuse_short(there: float, wanted: float, noun: str) -> None:
    """Refuses a track that ends long before its header says, or before the part that is asked for.

    Raises:
        DataError: says how much there is, and how much there should be.
    """
    if wanted - there > max(TOLERATED_SECONDS, TOLERATED_SHARE * wanted):
        raise DataError(f"it breaks off: only {there:.2f} of {wanted:.2f} seconds of {noun} can be decoded")
