"""Pictures and sounds as a page holds them: what decodes as one, and nothing else that a table may name."""

from __future__ import annotations

import base64
import io
import warnings

#: Formats of pictures that are shown. All of them are decoded by Pillow itself; it hands EPS to another program.
PICTURES = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
#: Longest side of a picture on the page, in pixels.
SIDE = 512
#: What browsers play, by soundfile's name of the format.
SOUNDS = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mpeg", "MPEG": "mpeg"}
#: Frames of a longer sound are not decoded: half an hour at 48 kHz.
MOST_FRAMES = 30 * 60 * 48_000
FRAMES_AT_ONCE = 65_536


def embedded_picture(content: bytes) -> str:
    """A picture as a ``data:`` address: its pixels, drawn anew as PNG, and nothing else that is in the file.

    Raises:
        ValueError: it is no picture of a format that is shown.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=PICTURES) as picture:
                picture.thumbnail((SIDE, SIDE))
                drawn = io.BytesIO()
                picture.convert("RGB").save(drawn, "PNG")
    except Exception as error:  # a decoder raises whatever a broken file makes it meet
        raise ValueError("no picture that can be shown") from error
    return f"data:image/png;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def embedded_sound(content: bytes) -> str:
    """A sound as a ``data:`` address, once all of it has been decoded.

    Raises:
        ValueError: it is no sound that browsers play, or longer than ``MOST_FRAMES``.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            kind, frames, wanted = SOUNDS[sound.format], 0, sound.frames
            if not 0 < wanted <= MOST_FRAMES:
                raise ValueError(f"{wanted} frames")
            for block in sound.blocks(FRAMES_AT_ONCE):
                frames += len(block)
            if frames != wanted:
                raise ValueError(f"{frames} of {wanted} frames")
    except Exception as error:  # as above
        raise ValueError("no sound that can be played") from error
    return f"data:audio/{kind};base64,{base64.b64encode(content).decode()}"
