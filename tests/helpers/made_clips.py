"""Clips whose content is known: each picture has one grey level, the sound is a tone that runs with the clock."""

from pathlib import Path

import numpy as np

FRAMES_PER_SECOND, SIDE = 10, 32
FIRST_LEVEL, LEVEL_STEP = 40, 4


def level(frame):
    """The grey of a picture by its number."""
    return FIRST_LEVEL + LEVEL_STEP * frame


def tone(seconds, rate, hertz=440.0, begin=0.0):
    """(T,) float32: a sine that is 0 at the clip's beginning, from a time on."""
    times = begin + np.arange(round(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def make_clip(
    path, seconds=4.0, video="libx264", audio="aac", rate=16000, late=0.0, width=SIDE, aspect=None, hertz=440.0
):
    """Writes a clip by ffmpeg's encoders; ``video=None`` and ``audio=None`` leave a track out, which may begin late.

    The index of MP4 files comes first, so that the rest can be cut off.
    """
    import av

    options = {"movflags": "faststart"} if str(path).endswith((".mp4", ".mov", ".m4a")) else {}
    with av.open(str(path), "w", options=options) as container:
        pictures = container.add_stream(video, rate=FRAMES_PER_SECOND) if video else None
        sound = container.add_stream(audio, rate=rate, layout="mono") if audio else None
        if pictures:
            pictures.width, pictures.height, pictures.pix_fmt = width, SIDE, "yuv420p"
            if video == "libx264":
                pictures.options = {"crf": "1", "g": "10"}
            if aspect is not None:
                pictures.codec_context.sample_aspect_ratio = aspect
        if sound:
            sound.bit_rate = 64_000
        if pictures:
            for number in range(round(seconds * FRAMES_PER_SECOND)):
                grey = np.full((SIDE, width, 3), level(number), np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
                frame.pts = number
                container.mux(pictures.encode(frame))
            container.mux(pictures.encode(None))
        if sound:
            samples = tone(seconds - late, rate, hertz, late)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.rate, frame.pts = rate, round(late * rate)
            size = sound.codec_context.frame_size or 0
            cut = av.AudioResampler(format=sound.format, layout="mono", rate=rate, frame_size=size)
            for part in (*cut.resample(frame), *cut.resample(None)):
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return Path(path)


def held_upright(path, target):
    """A copy of an MP4 file whose pictures a camera took that was turned by 90 degrees: shown clockwise."""
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    straight = one + zero + zero + zero + one + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    turned = zero + one + zero + minus + zero + zero + zero + zero + (1 << 30).to_bytes(4, "big")
    content = path.read_bytes()
    track = content.index(b"tkhd")  # the first is the pictures'
    place = content.index(straight, track)
    target.write_bytes(content[:place] + turned + content[place + len(turned) :])
    return target
