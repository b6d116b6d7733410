"""Corruptions of test inputs in steps, for measuring robustness: noise, blur, silence, typos, missing words.

``level`` runs from 0, as it is, to 1. What a sample becomes follows from the seed, its row and the encoder's name, and
the draws are the same at every level: more of the same noise, further words in addition to those that were hit before.
So a curve over levels is smooth in what it varies, and every model is given the same samples.

    image   gaussian  normal noise on every pixel and colour, its deviation level · ``noise_std`` of full scale, clipped
            blur      Gaussian blur with a radius of level · ``blur_share`` of the shorter side
    audio   white     white noise, level · 10^(``noise_db`` / 20) times as strong as the sound itself: the ratio of
                      sound to noise falls to -``noise_db`` decibels
            dropout   pieces of 10 ms become silence, each with chance ``level``
    text    typos     each word of four letters or more is misspelt with chance ``level``: two inner letters change
                      places, the inner letters are shuffled, a letter is its neighbour on the keyboard, comes twice,
                      or is left out (an inner one), one of the five
            words     each word is left out with chance ``level``, but never all of them
    others            normal noise on the prepared numbers, its deviation ``level`` times that of the sample's own

The kinds are those of MultiBench (Liang et al. 2021, "MultiBench: Multiscale Benchmarks for Multimodal Representation
Learning", arXiv:2107.07502), of which it applies many at once to pictures and one at random to sounds; here it is one
kind at a time, named. Words are what stands between spaces. Which of them an input suffers is up to its ``Modality``.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.ranges import Range

if TYPE_CHECKING:
    from PIL.Image import Image

ImageCorruption = Literal["gaussian", "blur"]
AudioCorruption = Literal["white", "dropout"]
TextCorruption = Literal["typos", "words"]
#: Seconds of sound that fall silent together.
PIECE_SECONDS = 0.01
#: Words with fewer letters are never misspelt.
LEAST_LETTERS = 4
#: Pixels that become noisy at a time.
PIXELS_AT_ONCE = 2**22
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True)
class Degradation:
    """The config node ``robustness.noise``: which damage an input suffers, and how much at level 1.

    Attributes:
        image: ``gaussian`` or ``blur``.
        audio: ``white`` or ``dropout``.
        text: ``typos`` or ``words``.
        noise_std: of pixels, a share of full scale.
        blur_share: radius of the blur, a share of the picture's shorter side.
        noise_db: decibels by which white noise is then louder than the sound.
        seed: of the draws, whatever the run's own seed.

    Raises:
        ConfigError: a kind is unknown, or a number out of range.
    """

    image: ImageCorruption = "gaussian"
    audio: AudioCorruption = "white"
    text: TextCorruption = "typos"
    noise_std: Annotated[float, Range(above=0)] = 0.5
    blur_share: Annotated[float, Range(above=0)] = 0.125
    noise_db: Annotated[float, Range(-100, 100)] = 10.0
    seed: Annotated[int, Range(0)] = 0

    def __post_init__(self) -> None:
        known = (("image", ImageCorruption), ("audio", AudioCorruption), ("text", TextCorruption))
        for name, kinds in known:
            if (kind := getattr(self, name)) not in get_args(kinds):
                raise ConfigError(f"robustness.noise.{name}={kind} is unknown. {nearest(kind, get_args(kinds))}")
        for name in ("noise_std", "blur_share"):
            if not 0 < (value := getattr(self, name)) <= 10:
                raise ConfigError(f"robustness.noise.{name}={value}: a number above 0 is wanted, and at most 10.")
        if not -100 <= self.noise_db <= 100:
            raise ConfigError(f"robustness.noise.noise_db={self.noise_db}: decibels from -100 to 100 are wanted.")

    def sample_random(self, row: int, name: str) -> np.random.Generator:
        """The random numbers of one sample's input, the same at every level.

        Args:
            row: of the table, from 0.
            name: of the encoder.
        """
        return np.random.default_rng(np.random.SeedSequence([abs(self.seed), row, zlib.crc32(name.encode())]))


def degraded_image(image: Image, level: float, random: np.random.Generator, options: Degradation) -> Image:
    """An image in mode RGB, changed at its own size."""
    from PIL import Image as pil
    from PIL import ImageFilter

    if options.image == "blur":
        return image.filter(ImageFilter.GaussianBlur(level * options.blur_share * min(image.size)))
    noisy = image.copy()
    rows = max(1, PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):  # a large picture is never there in float32
        pixels = np.asarray(image.crop((0, top, image.width, min(image.height, top + rows))), np.float32)
        noise = random.standard_normal(pixels.shape, np.float32)
        changed = (pixels + 255 * level * options.noise_std * noise).round().clip(0, 255).astype(np.uint8)
        noisy.paste(pil.fromarray(changed), (0, top))
    return noisy


def degraded_audio(
    raw: tuple[np.ndarray, int], level: float, random: np.random.Generator, options: Degradation
) -> tuple[np.ndarray, int]:
    """(T,) float32 and hertz -> the same, changed; silence stays silence."""
    waveform, rate_hz = raw
    if options.audio == "dropout":
        piece = max(1, round(PIECE_SECONDS * rate_hz))
        gone = random.random(-(-len(waveform) // piece)) < level
        return np.where(np.repeat(gone, piece)[: len(waveform)], 0, waveform).astype(np.float32), rate_hz
    strength = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0
    noise = random.standard_normal(len(waveform), np.float32)
    return (waveform + level * strength * 10 ** (options.noise_db / 20) * noise).astype(np.float32), rate_hz


def degraded_text(text: str, level: float, random: np.random.Generator, options: Degradation) -> str:
    """A text with misspelt words, or with fewer of them."""
    return misspelt(text, level, random) if options.text == "typos" else fewer_words(text, level, random)


def fewer_words(text: str, level: float, random: np.random.Generator) -> str:
    """Leaves each word out with probability ``level``; one word always stays."""
    words = text.split()
    numbers = random.random(len(words))
    kept = [word for word, number in zip(words, numbers, strict=True) if number >= level]
    return " ".join(kept or ([words[int(numbers.argmax())]] if words else []))


def misspelt(text: str, level: float, random: np.random.Generator) -> str:
    """Misspells each long word with probability ``level``, in one of five ways; white space becomes one space."""
    words = text.split()
    numbers, seeds = random.random(len(words)), random.integers(2**63, size=len(words))
    for place, word in enumerate(words):
        if numbers[place] < level and sum(letter.isalnum() for letter in word) >= LEAST_LETTERS:
            words[place] = typo(word, np.random.default_rng(seeds[place]))
    return " ".join(words)


def typo(word: str, random: np.random.Generator) -> str:
    """One of five spelling mistakes in a word of four characters or more; its first and last stay in place."""
    kind, place = (
        int(random.integers(5)),
        int(random.integers(1, len(word) - 2)),
    )  # an inner one with an inner neighbour
    before, letter, after = word[:place], word[place], word[place + 1 :]
    if kind == 0:
        return before + after[0] + letter + after[1:]
    if kind == 1:
        return word[0] + "".join(random.permutation(list(word[1:-1]))) + word[-1]
    if kind == 2:
        near = neighbours(letter.lower())
        return before + (near[int(random.integers(len(near)))] if near else letter) + after
    return before + (2 * letter if kind == 3 else "") + after


def neighbours(letter: str) -> str:
    """The keys beside, above and below one on an English keyboard; nothing for other signs."""
    for number, keys in enumerate(KEYBOARD):
        place = keys.find(letter) if letter else -1
        if place >= 0:
            # each row stands half a key to the right of the one above
            near = [(number, place - 1), (number, place + 1), (number - 1, place), (number - 1, place + 1)]
            near += [(number + 1, place - 1), (number + 1, place)]
            return "".join(KEYBOARD[n][p] for n, p in near if 0 <= n < len(KEYBOARD) and 0 <= p < len(KEYBOARD[n]))
    return ""
