"""Sound files as libsndfile reads them: bounded before memory is taken, and refused where they break off."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.mp3_frames import counted_samples

#: One channel of samples (T,) float32 in [-1, 1], and their rate in hertz.
Waveform = tuple[np.ndarray, int]
#: Above it lies no recording, ultrasound included: a header that says more is damaged.
HIGHEST_HERTZ = 2_000_000
#: Samples of one channel that are held in memory at once, a gigabyte of them.
MOST_SAMPLES = 2**28
#: Numbers, all channels together, that are decoded at a time.
BLOCK = 2**20
#: A sound may be so much shorter than its header says: encoders round to whole frames.
TOLERATED_SECONDS = 0.1
#: Lengths from here on are written by programs that do not know it yet, and mean "up to the end".
UNKNOWN_LENGTH = 0x7FFF0000
#: What libsndfile notes of a file whose samples end before they should: bytes declared, bytes there.
DECLARED_BYTES = re.compile(r"^\s*(?:data|SSND|riff|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
DECLARED_FRAMES = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
NO_END = "lacks an end-of-stream bit"

SoundSource = str | Path | BinaryIO


@dataclass(frozen=True)
class SoundFacts:
    """What is in a sound file.

    Attributes:
        seconds: of what can be decoded.
        hertz: its rate.
        remark: what is wrong with the part that is not read; empty = nothing.
    """

    seconds: float
    hertz: int
    remark: str = ""


def decode_sound(source: SoundSource, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT) -> Waveform:
    """The mean of a file's channels, (T,) float32, and hertz.

    Args:
        source: of the sound.
        max_seconds: no more is read.
        part: of the sound that is meant.

    Raises:
        DataError: the header asks for too much, the sound breaks off within what is read, ends before the part begins,
            has no samples, or some that are not finite.
        soundfile.LibsndfileError: it is no sound.
    """
    with opened(source) as file:
        first, wanted = frames_wanted(file, max_seconds, part)
        if wanted > MOST_SAMPLES:
            raise DataError(
                f"it has {wanted:,} samples a channel, more than {MOST_SAMPLES:,}: read less of it (max_seconds), or "
                "cut it into several files"
            )
        skip_frames(file, first)
        samples = mono_samples(file, wanted)
        refuse_broken_off(source, file, first + len(samples), first + wanted)
        rate = int(file.samplerate)
    return checked_samples(samples), rate


def measure_sound(source: SoundSource, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT) -> SoundFacts:
    """Decodes a file to the end of the part that is meant, however long, and keeps nothing.

    Args:
        source: of the sound.
        max_seconds: what is wrong behind them is a remark and no error.
        part: of the sound that is meant.

    Raises:
        DataError, soundfile.LibsndfileError: see ``decode_sound``.
    """
    with opened(source) as file:
        rate, remark = int(file.samplerate), ""
        first, read = frames_wanted(file, max_seconds, part)
        _, whole = frames_wanted(file, None, part)
        skip_frames(file, first)
        decoded = counted(file, read)
        refuse_broken_off(source, file, first + decoded, first + read)
        try:
            decoded += counted(file, whole - read)
            refuse_broken_off(source, file, first + decoded, first + whole)
        except (DataError, soundfile.LibsndfileError):
            remark = f"the sound breaks off after the {max_seconds:g} seconds that are read"
    if not decoded:
        checked_samples(np.zeros(0, np.float32))
    return SoundFacts(decoded / rate, rate, remark)


def frames_wanted(file: soundfile.SoundFile, max_seconds: float | None, part: TimeSpan) -> tuple[int, int]:
    """With which sample a channel what is read begins, and how many are to be read.

    Raises:
        DataError: the sound ends before the part begins, or long before it ends.
    """
    if part == WHOLE_INPUT:
        return 0, frames_within(file, max_seconds)
    rate = file.samplerate
    first = round(part.start * rate)
    last = file.frames if part.end is None else round(part.end * rate)
    if first >= file.frames or last - file.frames > TOLERATED_SECONDS * rate:
        end = "its end" if part.end is None else f"{part.end:g} s"
        asked = f"the part from {part.start:g} s to {end}"
        raise DataError(f"it is {file.frames / rate:.2f} s long, and {asked} is asked for")
    wanted = min(last, file.frames) - first
    return first, wanted if max_seconds is None else min(wanted, math.ceil(max_seconds * rate))


def skip_frames(file: soundfile.SoundFile, count: int) -> None:
    """Goes to a sample; what cannot be wound, such as GSM 6.10, is decoded up to it."""
    if count and file.seekable():
        file.seek(count)
    elif count:
        counted(file, count)


def opened(source: SoundSource) -> soundfile.SoundFile:
    """A sound file, its rate within bounds.

    Raises:
        DataError: the rate is that of no sound.
    """
    file = soundfile.SoundFile(os.fspath(source) if isinstance(source, Path) else source)
    if not 1 <= file.samplerate <= HIGHEST_HERTZ:
        file.close()
        raise DataError(
            f"its header says {file.samplerate:,} samples a second, where 1 to {HIGHEST_HERTZ:,} can be: it is damaged"
        )
    return file


def frames_within(file: soundfile.SoundFile, max_seconds: float | None) -> int:
    """How many samples a channel are to be read."""
    return int(file.frames if max_seconds is None else min(file.frames, math.ceil(max_seconds * file.samplerate)))


def mono_samples(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """The next samples as the channels' mean, (n,) float32, up to so many or the file's end."""
    if frames * file.channels <= BLOCK:
        return next(mono_blocks(file, frames), np.zeros(0, np.float32))
    samples = np.empty(frames, np.float32)
    decoded = 0
    for block in mono_blocks(file, frames):
        samples[decoded : decoded + len(block)] = block
        decoded += len(block)
    return samples[:decoded]


def mono_blocks(file: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    """The next samples as the channels' mean, (n,) float32 each, up to so many in all or the file's end.

    The number is always given: without it soundfile refuses what cannot be wound back, such as GSM 6.10.
    """
    step = max(1, BLOCK // file.channels)
    while frames > 0:
        samples = file.read(min(step, frames), dtype="float32")
        yield samples if samples.ndim == 1 else samples.mean(1, dtype=np.float32)
        frames -= len(samples)
        if len(samples) < step:
            return


def counted(file: soundfile.SoundFile, frames: int) -> int:
    """Decodes the next samples and counts them."""
    return sum(len(checked_samples(block)) for block in mono_blocks(file, frames) if len(block))


def checked_samples(single: np.ndarray) -> np.ndarray:
    """One channel (T,) as it is.

    Raises:
        DataError: there are no samples, or some are not finite. The caller adds whose they are.
    """
    if not len(single):
        raise DataError("it has no samples: its length is zero")
    # the sum of squares is many times faster; it is finite but where a sample is not, or is beyond all loudness
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.dot(single, single)
    if not math.isfinite(energy) and not np.isfinite(single).all():
        raise DataError("it has samples that are not finite numbers")
    return single


def refuse_broken_off(source: SoundSource, file: soundfile.SoundFile, decoded: int, wanted: int) -> None:
    """Refuses a file that ends before its header says, as far as that matters for what is read.

    Args:
        source: of the sound.
        file: opened, and read so far.
        decoded: samples a channel that came out.
        wanted: samples a channel that should have.

    Raises:
        DataError: says how much there is, and how much there should be.
    """
    rate = file.samplerate
    if file.format == "MP3" and (decoded < wanted or wanted == file.frames):
        counted = counted_samples(source)
        if counted is not None:  # the length in the header is an estimate
            refuse_estimate(rate, decoded, counted)
            return
    if wanted - decoded > TOLERATED_SECONDS * rate:
        raise DataError(f"it breaks off: only {decoded / rate:.2f} of {wanted / rate:.2f} seconds can be decoded")
    if wanted < file.frames:
        return
    notes = file.extra_info
    whole = decoded * declared_share(notes)
    if whole - decoded > TOLERATED_SECONDS * rate:
        raise DataError(f"it breaks off: only {decoded / rate:.2f} of {whole / rate:.2f} seconds are in the file")
    if NO_END in notes:
        raise DataError(f"it breaks off after {decoded / rate:.2f} seconds: the end of its stream is missing")


def refuse_estimate(rate: int, decoded: int, counted: int) -> None:
    """Refuses an MP3 file of which libsndfile reads no further than it estimates.

    Raises:
        DataError: so much is missing.
    """
    if counted - decoded > TOLERATED_SECONDS * rate:
        part = f"{decoded / rate:.2f} of {counted / rate:.2f} seconds"
        raise DataError(f"the file does not say how long it is, and only {part} can be read: write it anew (ffmpeg -i)")


def declared_share(notes: str) -> float:
    """How many times as much as there is the header promised; 1 = no more, or nobody knows."""
    if found := DECLARED_FRAMES.search(notes):
        there, promised = map(int, found.groups())
    elif found := DECLARED_BYTES.search(notes):
        promised, there = map(int, found.groups())
    else:
        return 1.0
    return max(1.0, promised / there) if there and promised < UNKNOWN_LENGTH else 1.0
