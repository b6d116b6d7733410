"""The true length of MP3 files that do not say it: their frames are counted, header by header, nothing is decoded.

libsndfile estimates the length of such a file by its first frame, and reads no further than that: of a file of variable
bitrate that begins loud it silently leaves the end out. ISO/IEC 11172-3, 2.4.2.3, and 13818-3.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

#: Kilobits a second by the number in a header, MPEG 1 and MPEG 2, layer III; 0 = of no use.
BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
#: Hertz by the version and the number in a header.
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
#: Frames of an MP3 file are counted in its first frame, under one of these names.
COUNTS = (b"Xing", b"Info", b"VBRI")
HEADER_BYTES = 4
TAG_BYTES = 10
#: Bytes in which the first frame is looked for, and its count in it.
FIRST_BYTES = 4096


def counted_samples(source: str | Path | BinaryIO) -> int | None:
    """Samples a channel of an MP3 file that does not count its frames; None = it does, and libsndfile knows.

    Args:
        source: of the file.
    """
    if isinstance(source, (str, Path)):
        with open(source, "rb") as file:
            return counted_samples(file)
    source.seek(0)
    source.seek(tag_length(source.read(TAG_BYTES)))
    content = source.read(FIRST_BYTES)
    if any(name in content for name in COUNTS):
        return None
    content += source.read()
    samples = place = 0
    while place + HEADER_BYTES <= len(content):
        length, inside = frame_size(content[place : place + HEADER_BYTES])
        if not length:  # no header: the next byte that may begin one
            found = content.find(b"\xff", place + 1)
            place = found if found > 0 else len(content)
        else:
            samples += inside if place + length <= len(content) else 0
            place += length
    return samples


def tag_length(content: bytes) -> int:
    """Bytes of an ID3v2 tag at the beginning; its length is in 4 bytes of 7 bits."""
    if content[:3] != b"ID3" or len(content) < TAG_BYTES:
        return 0
    return TAG_BYTES + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(content[6:TAG_BYTES])))


def frame_size(header: bytes) -> tuple[int, int]:
    """Bytes of a frame, and samples a channel in it, by its header; 0 = it is none of layer III."""
    if header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # eleven bits of one, layer III
        return 0, 0
    version, rate = header[1] >> 3 & 3, header[2] >> 2 & 3
    bits = (BITRATES_1 if version == 3 else BITRATES_2)[header[2] >> 4]
    if version not in RATES or rate == 3 or not bits:
        return 0, 0
    samples = 1152 if version == 3 else 576
    return samples // 8 * 1000 * bits // RATES[version][rate] + (header[2] >> 1 & 1), samples
