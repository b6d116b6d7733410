"""Pictures and sounds as the encoders' preprocessing takes them: upright RGB, one channel of float samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.processor import Processor

if TYPE_CHECKING:
    from PIL.Image import Image

#: (T,) float32 in [-1, 1], and hertz
Sound = tuple[np.ndarray, int]


def read_image(path: str | Path) -> Image:
    """A picture file -> an upright PIL image in mode RGB.

    Raises:
        DataError: the file does not exist, or holds no picture that PIL can read.
    """
    from PIL import Image as pil

    require_file(Path(path))
    try:
        with pil.open(path) as image:
            image.load()
            return to_rgb(image)
    except (OSError, SyntaxError, ValueError, pil.DecompressionBombError) as error:
        raise DataError(f"{path} is no picture that can be read: {error}") from error


def to_rgb(image: Image) -> Image:
    """Any PIL image -> RGB, turned as its EXIF orientation says; transparency becomes white, 16 bits become 8."""
    from PIL import Image as pil
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        return pil.fromarray(eight_bits(np.asarray(image, np.float64), image.mode)).convert("RGB")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = pil.new("RGBA", rgba.size, (255, 255, 255, 255))
        return pil.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """(h, w) of any range -> uint8. PIL's own conversion cuts everything above 255 off.

    16-bit integers are divided by 257; floats in [0, 1] are stretched to 255, others are taken as 0 to 255.
    """
    if mode.startswith("I") and (mode.startswith("I;16") or values.max(initial=0) > 255):
        values = values / 257
    elif mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def read_audio(path: str | Path, max_seconds: float | None = None) -> Sound:
    """A sound file -> its samples, (T,) float32, channels averaged, and its rate in hertz.

    Args:
        path: any format that libsndfile reads: wav, flac, ogg, mp3, ...
        max_seconds: no more than this is read.

    Raises:
        DataError: the file does not exist, holds no sound, or one of no length or of values that are not finite.
    """
    import soundfile

    require_file(Path(path))
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate = int(file.samplerate)
            frames = -1 if max_seconds is None else int(np.ceil(max_seconds * rate))
            samples = file.read(frames, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"{path} is no sound that can be read: {error}") from error
    return mono(samples, str(path)), rate


def mono(samples: np.ndarray, name: str) -> np.ndarray:
    """(T, channels) or (T,) -> (T,) float32, the channels' mean.

    Raises:
        DataError: there are no samples, or some are not finite.
    """
    samples = np.asarray(samples, np.float32)
    single = samples.mean(1, dtype=np.float32) if samples.ndim == 2 else samples
    if not len(single):
        raise DataError(f"{name} has no samples: its length is zero. Leave the cell empty if the sound is missing.")
    if not np.isfinite(single).all():
        raise DataError(f"{name} has samples that are not finite numbers.")
    return single


def require_file(path: Path) -> None:
    """Refuses a path at which there is no file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")


def read_raw(kind: str, value: Any, folder: Path, max_seconds: float | None = None) -> Any:
    """A table's cell -> what ``Processor.prepare`` takes: the text itself, or the file that a cell names."""
    if kind == "text":
        return str(value)
    path = folder / str(value)
    return read_image(path) if kind == "image" else read_audio(path, max_seconds)


def as_raw(value: Any, processor: Processor) -> Any:
    """A value as people hold it in Python -> what ``Processor.prepare`` takes.

    Pictures: a path or a PIL image. Sounds: a path, ``(array, hertz)``, or an array (T,) or (T, channels) at the
    encoder's own rate.
    """
    if processor.kind == "image":
        return read_image(value) if isinstance(value, (str, Path)) else to_rgb(value)
    if processor.kind == "audio":
        if isinstance(value, (str, Path)):
            return read_audio(value, getattr(processor, "max_seconds", None))
        samples, rate = value if isinstance(value, tuple) else (value, processor.sample_rate_hz)  # type: ignore[attr-defined]
        return mono(np.asarray(samples), "the sound given"), int(rate)
    return value
