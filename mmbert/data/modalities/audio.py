"""Audio: sound files become one channel of float32 samples and their rate."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from mmbert.core.errors import DataError
from mmbert.core.file_names import named_file
from mmbert.core.regular_files import refuse_special
from mmbert.data.augment.audio import AudioAugmentation
from mmbert.data.augment.corruptions import Degradation, degraded_audio
from mmbert.data.modalities import clip_files, clip_sounds, mp3_frames, sound_files
from mmbert.data.modalities.base import WHOLE_INPUT, CellFacts, TimeSpan, bytes_and_name, span_of_cell
from mmbert.data.modalities.clip_files import cell_clip_facts
from mmbert.data.modalities.clip_sounds import any_sound, any_sound_facts
from mmbert.data.modalities.media import MediaModality, data_uri
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.sound_files import SoundFacts, Waveform, checked_samples

#: Seconds of an example that can be heard.
EXAMPLE_SECONDS = 10.0


@lru_cache(maxsize=65_536)
def header_seconds(path: str, size: int, mtime_ns: int, inode: int) -> float:
    """How long a sound file's header says that it lasts; of each file in each of its states read once a process."""
    return float(soundfile.info(path).duration)


class AudioModality(MediaModality):
    """Any format that libsndfile reads (wav, flac, ogg, mp3, ...); the sound of clips and what else ffmpeg reads."""

    kind = "audio"
    noun = "sound"
    shown_as = "audio"
    length_unit = "seconds"
    lasts = True
    lacking = ("clip has no sound", "clips have no sound")
    code = (sound_files.__name__, mp3_frames.__name__, clip_files.__name__, clip_sounds.__name__)
    libraries = ("torch", "torchaudio", "soundfile")
    python_example = '"sound.wav"'
    augmentation = AudioAugmentation

    def decode(
        self, source: str | Path | BinaryIO, max_seconds: float | None = None, part: TimeSpan = WHOLE_INPUT
    ) -> Waveform:
        """See ``MediaModality``: -> samples (T,) float32, the channels' mean, and hertz; see ``any_sound``."""
        return any_sound(source, max_seconds, part)

    def may_lack(self, name: str) -> bool:
        """See ``Modality``: clips."""
        return clip_files.is_clip_name(name)

    def has_nothing(self, cell: Any, folder: str | Path) -> bool:
        """See ``Modality``: a clip without a sound track."""
        facts = cell_clip_facts(cell, folder)
        return facts is not None and not facts.audio

    def from_python(self, value: Any, processor: Any) -> Waveform:
        """A path, ``(array, hertz)``, or an array (T,) or (T, channels) at the encoder's own rate; see ``Modality``."""
        if isinstance(value, (str, Path)):
            waveform: Waveform = super().from_python(value, processor)
            return waveform
        try:
            samples, rate = value if isinstance(value, tuple) else (value, processor.sample_rate_hz)
            return mono(np.asarray(samples)), int(rate)
        except (DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"The sound given cannot be used: {error}.") from error

    def length(self, cell: Any, folder: str | Path) -> float:
        """See ``Modality``: seconds, from the file's header."""
        content, name = bytes_and_name(cell)
        try:
            path = named_file(folder, name or "")
            if content is None:
                refuse_special(path)
                state = os.stat(path)
                found = header_seconds(str(path), state.st_size, state.st_mtime_ns, state.st_ino)
            else:
                found = soundfile.info(io.BytesIO(content)).duration
        except (OSError, TypeError, ValueError, RuntimeError):  # a clip; or whoever reads it will say what is wrong
            facts = cell_clip_facts(cell, folder)
            found = 0.0 if facts is None else facts.seconds or 0.0
        return span_of_cell(cell).seconds(float(found))

    def made_up(
        self, processor: Processor, random: np.random.Generator
    ) -> tuple[list[tuple[np.ndarray, int]], list[tuple[np.ndarray, int]]]:
        """See ``Modality``: noise at 16 kHz; then silence, a single sample, other rates, and a minute."""

        def noise(length: int, rate_hz: int = 16000) -> tuple[np.ndarray, int]:
            return 0.1 * random.standard_normal(length, np.float32), rate_hz

        ordinary = [noise(6000), noise(90), noise(16000), noise(9001)]
        silence = (np.zeros(8000, np.float32), 16000)
        return ordinary, [silence, noise(1), noise(4000, 8000), noise(44100, 44100), noise(60 * 16000)]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: seconds and hertz."""
        measure = partial(any_sound_facts, max_seconds=options.get("max_seconds"), part=span_of_cell(cell))
        facts: SoundFacts = self.using(cell, folder, measure)
        quantities = {"seconds": facts.seconds, "hertz": facts.hertz}
        remarks = (facts.remark,) if facts.remark else ()
        return CellFacts(digest=self.stored_digest(cell, folder), quantities=quantities, remarks=remarks)

    def corrupted(
        self, raw: Waveform, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: white noise, or pieces of silence."""
        return processor.prepare(degraded_audio(raw, level, random, options))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: a player of its first seconds."""
        samples, rate = self.read(cell, folder, EXAMPLE_SECONDS)
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="WAV", subtype="PCM_16")
        return f'<audio controls preload="none" src="{data_uri(buffer.getvalue(), "audio/wav")}"></audio>'


MODALITY = AudioModality()


def mono(samples: np.ndarray) -> np.ndarray:
    """(T, channels) or (T,) -> (T,) float32, the channels' mean.

    Raises:
        DataError: there are no samples, or some are not finite. The caller adds whose they are.
    """
    samples = full_scale(np.asarray(samples))
    if samples.ndim not in (1, 2):
        raise DataError(f"its shape is {samples.shape} where (T,) or (T, channels) is needed")
    return checked_samples(samples if samples.ndim == 1 else samples.mean(1, dtype=np.float32))


def full_scale(samples: np.ndarray) -> np.ndarray:
    """Samples of any type -> float32 with full scale ±1; integers are scaled by their type, as in files of theirs.

    Raises:
        DataError: they are neither floats nor integers.
    """
    kind = samples.dtype.kind
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    if kind not in "iu":
        raise DataError(f"its samples are of the type {samples.dtype}, where floats or integers are needed")
    half = float(2 ** (8 * samples.dtype.itemsize - 1))
    return ((samples.astype(np.float64) - (half if kind == "u" else 0)) / half).astype(np.float32)
