"""Damage to the headers of pictures, sounds and features: numbers that no such file has, in their places."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from random import Random

from damage_harness.mutate_bytes import damaged_bytes

#: Bytes of a file that count as its header.
HEADER_BYTES = 256
#: Numbers that readers are seldom tried with.
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1)
#: The same, as texts have them.
WORDS = ("0", "-1", "1e9", "1e308", "-1e308", "nan", "inf", "", "0.0000001", "99999999999999999999", "5%", "1e9em", "é")


def damage_media(draw: Random, path: Path) -> str:
    """Damages a file in place, its header or any of its bytes; returns what was done to it."""
    content = path.read_bytes()
    way = draw.choice((damaged_bytes, damaged_bytes, extreme_number, extreme_number, tail_missing))
    if path.suffix == ".png" and draw.random() < 0.5:
        way = png_chunk
    if path.suffix in (".svg", ".pgm", ".ppm", ".npy", ".safetensors") and draw.random() < 0.6:
        way = extreme_word
    what, damaged = way(draw, content)
    path.write_bytes(damaged)
    return f"{path.name}: {what}"


def extreme_number(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A number of 1 to 8 bytes in the header is an extreme one."""
    size, order = draw.choice((1, 2, 4, 4, 8)), draw.choice(("little", "big"))
    place = draw.randrange(max(1, min(len(content), HEADER_BYTES) - size + 1))
    number = draw.choice(EXTREMES) % 256**size
    changed = content[:place] + number.to_bytes(size, order) + content[place + size :]
    return f"{number} in {size} bytes at {place}, {order}", changed


def extreme_word(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A number in the text of the file, or of its header, is an extreme one; what follows keeps its place."""
    found = list(re.finditer(rb"\d+(\.\d+)?", content[:4096]))
    if not found:
        return extreme_number(draw, content)
    one, word = draw.choice(found), draw.choice(WORDS).encode()
    return f"{word!r} at {one.start()}", content[: one.start()] + word + content[one.end() :]


def tail_missing(draw: Random, content: bytes) -> tuple[str, bytes]:
    """The file ends at a share of its length, as after an interrupted copy."""
    kept = int(len(content) * draw.random())
    return f"cut to {kept} of {len(content)} bytes", content[:kept]


def png_chunk(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A chunk of a PNG file is changed and its checksum is right, as a faulty program writes it."""
    chunks = []
    place = 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = draw.randrange(len(chunks))
    kind, data = chunks[number]
    way = draw.choice(("number", "bytes", "twice", "missing", "moved"))
    if way in ("number", "bytes") and data:
        chunks[number] = (kind, (extreme_number if way == "number" else damaged_bytes)(draw, data)[1])
    elif way == "twice":
        chunks.insert(draw.randrange(len(chunks)), chunks[number])
    else:
        del chunks[number]
        if way == "moved":
            chunks.insert(draw.randrange(len(chunks) + 1), (kind, data))
    whole = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return f"chunk {number} {kind!r}: {way}", content[:8] + whole
