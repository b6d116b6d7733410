"""Sounds by libsndfile, and by ffmpeg what libsndfile does not know: the tracks of clips, AAC, WMA, ..."""

from __future__ import annotations

import io
from pathlib import Path

import soundfile

from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.clip_files import SNIFFED_BYTES, decode_track, is_clip_name, looks_like_clip, measure_track
from mmbert.data.modalities.sound_files import SoundFacts, SoundSource, Waveform, decode_sound, measure_sound


def any_sound(source: SoundSource, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT) -> Waveform:
    """``decode_sound``, or ``decode_track`` of what libsndfile does not know.

    Raises:
        DataError: see both.
        soundfile.LibsndfileError: neither knows it, and its name is not that of a clip.
    """
    try:
        return decode_sound(source, max_seconds, part)
    except soundfile.LibsndfileError as error:
        return decode_track(for_ffmpeg(source, error), max_seconds, part.start, part.end)


def any_sound_facts(source: SoundSource, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT) -> SoundFacts:
    """``measure_sound``, or ``measure_track`` of what libsndfile does not know.

    Raises:
        DataError, soundfile.LibsndfileError: see ``any_sound``.
    """
    try:
        return measure_sound(source, max_seconds, part)
    except soundfile.LibsndfileError as error:
        seconds, hertz = measure_track(for_ffmpeg(source, error), max_seconds, part.start, part.end)
        return SoundFacts(seconds, hertz)


def for_ffmpeg(source: SoundSource, error: soundfile.LibsndfileError) -> SoundSource:
    """A source that libsndfile does not know, from its beginning.

    Raises:
        soundfile.LibsndfileError: it is no clip, by its name or, without one, by its first bytes.
    """
    if isinstance(source, (str, Path)):
        if is_clip_name(str(source)):
            return source
        raise error
    source.seek(0, io.SEEK_SET)
    if not looks_like_clip(source.read(SNIFFED_BYTES)):
        raise error
    source.seek(0, io.SEEK_SET)
    return source
