"""Sounds for talking_digits: numbers spoken by the library espeak-ng, with noise and reverberation.

espeak-ng keeps state between utterances that no call resets (the same word said twice gives different samples), so
the library is loaded anew for each utterance: its samples then depend on its own parameters only.
"""

from __future__ import annotations

import _ctypes
import ctypes
from dataclasses import dataclass

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.digits.sentences import NUMBERS

RATE_HZ = 16000
ESPEAK_HZ = 22050
SYNCHRONOUS, DONT_EXIT, POS_CHARACTER, UTF8 = 2, 0x8000, 1, 1
PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "punctuation": 5, "capitals": 6, "wordgap": 7}
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan")
SPEAKERS = ("m1", "m2", "m3", "m4", "f1", "f2", "f3", "Annie", "Michael", "edward")
UNSEEN_ACCENTS = ("en-029", "en-gb-x-gbcwmd", "en-us-nyc")
UNSEEN_SPEAKERS = ("m6", "m7", "f4", "f5", "Andrea", "Lee")


@dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng and its parameters.

    Attributes:
        name: accent and speaker, such as ``en-us+f3``.
        words_per_minute: speed.
        pitch: 0 to 99.
        pitch_range: 0 (monotone) to 99.
    """

    name: str
    words_per_minute: int
    pitch: int
    pitch_range: int


@dataclass(frozen=True)
class SoundDifficulty:
    """How sounds are degraded; each sound draws its own values.

    Attributes:
        snr_low_db: lowest ratio of speech to noise.
        snr_high_db: highest.
        reverberation: share of sounds that echo.
    """

    snr_low_db: float = 5.0
    snr_high_db: float = 20.0
    reverberation: float = 0.2


def voices(count: int, unseen: bool, seed: int) -> list[Voice]:
    """Voices of the train and validation splits, or (``unseen``) of the test splits alone."""
    rng = np.random.default_rng([seed, 2, unseen])
    accents, speakers = (UNSEEN_ACCENTS, UNSEEN_SPEAKERS) if unseen else (ACCENTS, SPEAKERS)
    pairs = [f"{accent}+{speaker}" for accent in accents for speaker in speakers]
    names = [pairs[i % len(pairs)] for i in rng.permutation(max(count, len(pairs)))[:count]]
    return [
        Voice(name, int(rng.integers(120, 230)), int(rng.integers(15, 90)), int(rng.integers(20, 90))) for name in names
    ]


def say(text: str, voice: Voice) -> np.ndarray:
    """The utterance, (T,) float32 at 16 kHz, its loudest sample 1, silence at both ends removed.

    Raises:
        DataError: the voice does not exist, or the library returned no samples.
    """
    samples = trim(np.frombuffer(synthesise(text, voice), np.int16).astype(np.float32))
    if not len(samples):
        raise DataError(f"espeak-ng said nothing for '{text}' in the voice {voice.name}.")
    return resample(samples / np.abs(samples).max())


def synthesise(text: str, voice: Voice) -> bytes:
    """16-bit samples at 22,050 Hz, from a freshly loaded library."""
    import espeakng_loader

    heard = bytearray()

    def receive(wave: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if wave and count > 0:
            heard.extend(ctypes.string_at(wave, 2 * count))
        return 0

    callback = CALLBACK(receive)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        folder = espeakng_loader.get_data_path().encode()
        rate = library.espeak_Initialize(SYNCHRONOUS, 0, folder, DONT_EXIT)
        assert rate == ESPEAK_HZ, f"espeak-ng speaks at {rate} Hz"
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.name.encode()):
            raise DataError(f"espeak-ng has no voice '{voice.name}'.")
        values = {"rate": voice.words_per_minute, "volume": 100, "pitch": voice.pitch, "range": voice.pitch_range}
        for name, number in PARAMETERS.items():
            library.espeak_SetParameter(number, values.get(name, 0), 0)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        words = text.encode()
        library.espeak_Synth(words, len(words) + 1, 0, POS_CHARACTER, 0, UTF8, None, None)
        library.espeak_Synchronize()
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)
    return bytes(heard)


def trim(samples: np.ndarray, threshold: float = 0.01) -> np.ndarray:
    """Without what is below ``threshold`` of the peak at both ends."""
    if not len(samples):
        return samples
    loud = np.flatnonzero(np.abs(samples) > threshold * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]


def resample(samples: np.ndarray) -> np.ndarray:
    """22,050 -> 16,000 Hz by a polyphase filter."""
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(samples, 320, 441), np.float32)


def speak_all(voice: Voice) -> list[np.ndarray]:
    """Every number from zero to twelve in one voice."""
    return [say(word, voice) for word in NUMBERS]


def hear(
    speech: np.ndarray, others: list[np.ndarray], rng: np.random.Generator, difficulty: SoundDifficulty
) -> tuple[np.ndarray, float]:
    """An utterance as it is heard: at some moment of the recording, perhaps with an echo, through noise.

    Args:
        speech: (T,) the utterance.
        others: further utterances, of which babble is made.
        rng: decides everything.
        difficulty: how bad it may be.

    Returns:
        (T',) float32 with a peak below 1, and the ratio of speech to noise in decibels, measured over the utterance.
    """
    before, after = (int(rng.uniform(0.02, 0.15) * RATE_HZ) for _ in range(2))
    signal = np.concatenate([np.zeros(before, np.float32), speech, np.zeros(after, np.float32)])
    if rng.random() < difficulty.reverberation:
        signal = echo(signal, rng)
    noise = background(len(signal), others, rng)
    snr = float(rng.uniform(difficulty.snr_low_db, difficulty.snr_high_db))
    spoken = slice(before, before + len(speech))
    gain = np.sqrt(np.mean(signal[spoken] ** 2) / np.mean(noise[spoken] ** 2) / 10 ** (snr / 10))
    mixed = signal + gain * noise
    return (mixed / np.abs(mixed).max() * rng.uniform(0.3, 0.95)).astype(np.float32), snr


def echo(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A room: exponentially fading reflections over up to a fifth of a second."""
    from scipy.signal import fftconvolve

    length = int(rng.uniform(0.05, 0.2) * RATE_HZ)
    fading = np.exp(-6.9 * np.arange(length) / length)  # down by 60 dB at the end
    response = rng.normal(0, 0.08, length) * fading
    response[0] = 1.0
    return np.asarray(fftconvolve(signal, response)[: len(signal)], np.float32)


def background(length: int, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """White noise, pink noise, or the babble of three other utterances with a little white noise."""
    kind = rng.integers(3)
    white = rng.normal(0, 1, length)
    if kind == 0:
        return white
    if kind == 1:
        spectrum = np.fft.rfft(white)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        return np.fft.irfft(spectrum, length)
    babble = 0.02 * white
    for pick in rng.integers(len(others), size=3):
        babble = babble + np.roll(np.resize(others[pick], length), rng.integers(length))
    return babble
