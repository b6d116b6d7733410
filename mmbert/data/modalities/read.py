"""Pictures and sounds as the encoders' preprocessing takes them: upright RGB, one channel of float samples."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from PIL import Image as pil
from PIL import ImageOps
from PIL.Image import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.processor import Processor

#: (T,) float32 in [-1, 1], and hertz
Sound = tuple[np.ndarray, int]

#: What to do about a file that cannot be used.
REMEDY = "Replace the file, or leave its cell empty: a missing modality is ordinary."
NOT_ALLOWED = "this user may not read it (permission denied)"
EXIF_ORIENTATION = 0x0112
TRANSPARENT_MODES = ("LA", "PA", "La", "RGBA", "RGBa")


def read_image(path: str | Path) -> Image:
    """A picture file -> an upright PIL image in mode RGB. Of an animation, the first frame.

    Raises:
        DataError: the file does not exist, or holds no picture that PIL can read.
    """
    try:
        return decode_image(path)
    except Exception as error:  # decoders raise whatever a broken file makes them meet
        raise unusable(path, "picture", error) from error


def decode_image(source: str | Path | BinaryIO) -> Image:
    """What ``read_image`` does, errors as they come."""
    with pil.open(source) as image:
        image.load()
        return to_rgb(image)


def to_rgb(image: Image) -> Image:
    """Any PIL image -> RGB, turned as its EXIF orientation says; transparency becomes white, 16 bits become 8.

    Raises:
        DataError: a float picture has values that are not finite.
    """
    image = upright(image)
    if image.mode in ("RGB", "L") and "transparency" not in image.info:  # nearly all pictures
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode.startswith(("I", "F")):
        return pil.fromarray(eight_bits(np.asarray(image, np.float64), image.mode)).convert("RGB")
    if image.mode in TRANSPARENT_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = pil.new("RGBA", rgba.size, (255, 255, 255, 255))
        return pil.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "LAB":  # PIL's convert does not know it
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert converted is not None  # only an in-place conversion gives None
        return converted
    return image.convert("RGB")


def upright(image: Image) -> Image:
    """Turned and mirrored as the EXIF orientation says; EXIF data that cannot be read says nothing."""
    try:
        if image.getexif().get(EXIF_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF raises whatever its parser met; the pixels are good
        return image


def eight_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """(h, w) of any range -> uint8. PIL's own conversion cuts everything above 255 off.

    16-bit integers are divided by 257, and so are 32-bit ones that exceed 255; floats in [0, 1] are stretched to 255,
    others are taken as 0 to 255.

    Raises:
        DataError: a value is not finite. The caller adds whose it is.
    """
    if not np.isfinite(values).all():
        raise DataError("it has pixels that are not finite numbers")
    if mode.startswith("I;16") or (mode.startswith("I") and values.max(initial=0) > 255):
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
    try:
        return decode_audio(os.fspath(path), max_seconds)
    except Exception as error:  # as above
        raise unusable(path, "sound", error) from error


def decode_audio(source: str | BinaryIO, max_seconds: float | None = None) -> Sound:
    """What ``read_audio`` does, errors as they come."""
    with soundfile.SoundFile(source) as file:
        rate = int(file.samplerate)
        frames = -1 if max_seconds is None else math.ceil(max_seconds * rate)
        samples = file.read(frames, dtype="float32")
    return mono(samples), rate


def mono(samples: np.ndarray) -> np.ndarray:
    """(T, channels) or (T,) -> (T,) float32, the channels' mean.

    Raises:
        DataError: there are no samples, or some are not finite. The caller adds whose they are.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim not in (1, 2):
        raise DataError(f"its shape is {samples.shape} where (T,) or (T, channels) is needed")
    single = samples if samples.ndim == 1 else samples.mean(1, dtype=np.float32)
    if not len(single):
        raise DataError("it has no samples: its length is zero")
    # the sum of squares is many times faster; it is finite but where a sample is not, or is beyond all loudness
    with np.errstate(over="ignore"):
        energy = np.dot(single, single)
    if not math.isfinite(energy) and not np.isfinite(single).all():
        raise DataError("it has samples that are not finite numbers")
    return single


def unusable(path: str | Path, what: str, error: Exception) -> DataError:
    """What went wrong with a file, told with its name and a remedy."""
    if isinstance(error, MemoryError):
        raise error
    return DataError(f"{path}: {reason(Path(path), what, error)}. {REMEDY}")


def reason(path: Path, what: str, error: Exception) -> str:
    """Why a file cannot be used, in words."""
    if isinstance(error, PermissionError) or not may_read(path):
        return NOT_ALLOWED
    if path.is_dir():
        return "this is a folder, not a file"
    if not path.exists():
        return "there is no such file"
    if not path.stat().st_size:
        return "the file is empty (0 bytes)"
    if isinstance(error, DataError):
        return f"the {what} cannot be used: {error}"
    if isinstance(error, pil.DecompressionBombError):
        most = 2 * (pil.MAX_IMAGE_PIXELS or 0)
        return f"the {what} has more than {most:,} pixels, which take half a gigabyte of memory and more: scale it down"
    return f"this is no {what} that can be read ({error or type(error).__name__})"


def may_read(path: Path) -> bool:
    """Whether this user may read a file; True where there is none."""
    try:
        return not path.exists() or os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    except PermissionError:  # of a folder above it
        return False


def read_raw(kind: str, value: Any, folder: str | Path, max_seconds: float | None = None) -> Any:
    """A table's cell -> what ``Processor.prepare`` takes: a text, what is in the file it names, or the cell itself.

    Raises:
        DataError: the file cannot be used.
    """
    if kind == "text":
        return str(value)
    if kind == "features" and isinstance(value, str):
        from mmbert.data.modalities.features import read_arrays

        return read_arrays(os.path.join(folder, value))
    if kind not in ("image", "audio"):
        return value
    if isinstance(value, dict):
        return read_stored(kind, value, folder, max_seconds)
    if not isinstance(value, str):
        raise DataError(f"a file name is needed, not {value!r:.60}")
    path = os.path.join(folder, value)
    return read_image(path) if kind == "image" else read_audio(path, max_seconds)


def read_stored(
    kind: str, cell: Mapping[str, Any], folder: str | Path, max_seconds: float | None = None
) -> Image | Sound:
    """A picture or sound that lies in a table, or that it names: ``{"bytes": ..., "path": ...}``.

    Raises:
        DataError: it cannot be used.
    """
    content, path = cell.get("bytes"), cell.get("path")
    if content is None:
        if not path:
            raise DataError(f"neither bytes nor a path of the {kind} are there: {list(cell)}")
        return read_raw(kind, os.path.join(folder, path), folder, max_seconds)
    what = "picture" if kind == "image" else "sound"
    try:
        return decode_image(io.BytesIO(content)) if kind == "image" else decode_audio(io.BytesIO(content), max_seconds)
    except MemoryError:
        raise
    except Exception as error:  # as in read_image
        named = f"the {what} in the table" + (f" ('{path}')" if path else "")
        why = f"{error}" if isinstance(error, DataError) else f"this is no {what} that can be read ({error})"
        raise DataError(f"{named}: {why}. {REMEDY}") from error


def as_raw(value: Any, processor: Processor) -> Any:
    """A value as people hold it in Python -> what ``Processor.prepare`` takes.

    Features: a path or an array (L, D). Pictures: a path or a PIL image. Sounds: a path, ``(array, hertz)``, or an
    array (T,) or (T, channels) at the encoder's own rate.

    Raises:
        DataError: a file or a value cannot be used.
    """
    if processor.kind == "features" and isinstance(value, (str, Path)):
        return read_raw("features", str(value), "")
    if processor.kind not in ("image", "audio"):
        return value
    if isinstance(value, (str, Path)):
        limit = getattr(processor, "max_seconds", None)
        return read_image(value) if processor.kind == "image" else read_audio(value, limit)
    try:
        if processor.kind == "image":
            return to_rgb(value)
        samples, rate = value if isinstance(value, tuple) else (value, processor.sample_rate_hz)  # type: ignore[attr-defined]
        return mono(np.asarray(samples)), int(rate)
    except DataError as error:
        raise DataError(
            f"The {'picture' if processor.kind == 'image' else 'sound'} given cannot be used: {error}."
        ) from error
