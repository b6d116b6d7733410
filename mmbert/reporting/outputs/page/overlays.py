"""Maps of contributions as pictures: what speaks for an answer in one colour, what speaks against it in another."""

from __future__ import annotations

import base64
import io

import numpy as np

#: Red, green, blue of what speaks for and against; apart for colour-blind readers, and to be seen on light and dark.
FOR, AGAINST = (217, 72, 15), (31, 111, 235)
#: Of where attention looks, which has no sign.
LOOKED = (130, 80, 223)
#: Of all values so many in a hundred are within the strongest colour: single pixels must not pale all others.
WITHIN = 99.5
#: Longest side of a map, in places; longer ones are summed in groups.
MOST_PLACES = 600


def png(pixels: np.ndarray) -> str:
    """uint8 (height, width, 3 or 4) or (height, width) -> a ``data:`` address."""
    from PIL import Image

    drawn = io.BytesIO()
    Image.fromarray(pixels).save(drawn, "PNG")
    return f"data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def strongest(values: np.ndarray) -> float:
    """The size that gets the full colour."""
    sizes = np.abs(values)
    found = float(np.percentile(sizes, WITHIN)) if sizes.size else 0.0
    return found or float(sizes.max(initial=0.0))


def coloured(values: np.ndarray, signed: bool = True) -> np.ndarray:
    """(height, width) -> uint8 (height, width, 4): a colour by the sign, the more of it the larger the value."""
    full = strongest(values)
    strength = np.abs(values).clip(0, full) / full if full else np.zeros_like(values, float)
    colours = (
        np.where((values >= 0)[..., None], FOR, AGAINST) if signed else np.broadcast_to(LOOKED, (*values.shape, 3))
    )
    return np.concatenate([colours, 230 * strength[..., None]], -1).round().astype(np.uint8)


def grey(numbers: np.ndarray) -> np.ndarray:
    """(height, width) -> uint8 (height, width), the lowest black."""
    low, high = float(numbers.min()), float(numbers.max())
    return (255 * (numbers - low) / (high - low or 1)).round().astype(np.uint8)


def grey_picture(pixels: np.ndarray) -> np.ndarray:
    """uint8 (height, width, 3) -> uint8 (height, width), its brightness."""
    return (pixels @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)


def spectrogram(frames: np.ndarray) -> np.ndarray:
    """Log-mel frames, or a map of them, (L, bands) -> (bands, L), the highest band on top."""
    return frames.T[::-1]


def envelope(waveform: np.ndarray, height: int = 48) -> np.ndarray:
    """A waveform (T,) -> uint8 (height, columns): how loud each column is."""
    loud = np.abs(summed_neighbours(np.abs(waveform)))
    reach = loud / (loud.max(initial=0.0) or 1) * height / 2
    rows = np.abs(np.arange(height) - (height - 1) / 2)[:, None]
    return np.where(rows <= reach, 190, 40).astype(np.uint8)


def summed_neighbours(values: np.ndarray) -> np.ndarray:
    """(T,) -> sums over neighbours, at most ``MOST_PLACES`` of them."""
    group = -(-len(values) // MOST_PLACES)
    return np.add.reduceat(values, np.arange(0, len(values), group)) if len(values) else values


def wav(waveform: np.ndarray, rate_hz: int) -> str:
    """A waveform (T,), full scale ±1 -> a ``data:`` address of 16-bit WAV; what is louder is made to fit."""
    import wave

    samples = waveform / max(1.0, float(np.abs(waveform).max(initial=0.0)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        sound.writeframes((32767 * samples).round().astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"
