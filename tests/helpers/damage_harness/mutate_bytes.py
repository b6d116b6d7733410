"""Damage to a file's bytes, as disks, networks and interrupted copies make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

#: The longest block that is inserted, doubled, cleared or moved.
LONGEST_BLOCK = 4096


def damage_file_bytes(draw: Random, path: Path) -> str:
    """Damages a file in place; returns what was done to it."""
    what, content = damaged_bytes(draw, path.read_bytes())
    path.write_bytes(content)
    return f"{path.name}: {what}"


def damaged_bytes(draw: Random, content: bytes) -> tuple[str, bytes]:
    """What was done, and the damaged bytes, which may by chance equal the whole ones."""
    if not content:
        return insert(draw, content)
    return draw.choice(WAYS)(draw, content)


def flip(draw: Random, content: bytes) -> tuple[str, bytes]:
    """One bit to some dozen of them are turned over."""
    damaged, places = bytearray(content), [draw.randrange(len(content)) for _ in range(draw.choice((1, 1, 4, 32)))]
    for place in places:
        damaged[place] ^= 1 << draw.randrange(8)
    return f"{len(places)} bits flipped, the first in byte {places[0]}", bytes(damaged)


def flip_early(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A bit near the beginning, where formats keep their headers."""
    place = draw.randrange(min(len(content), 256))
    return f"a bit flipped in byte {place}", content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + (
        content[place + 1 :]
    )


def truncate(draw: Random, content: bytes) -> tuple[str, bytes]:
    """The end is missing; seldom all of it."""
    kept = draw.choice((0, 1, len(content) - 1, *(draw.randrange(len(content)) for _ in range(5))))
    return f"cut to {kept} of {len(content)} bytes", content[:kept]


def insert(draw: Random, content: bytes) -> tuple[str, bytes]:
    """Random bytes stand in between."""
    place, block = draw.randrange(len(content) + 1), draw.randbytes(draw.choice((1, 3, 16, 300)))
    return f"{len(block)} random bytes inserted at {place}", content[:place] + block + content[place:]


def overwrite(draw: Random, content: bytes) -> tuple[str, bytes]:
    """Random bytes stand in place of others."""
    start, end = block_of(draw, content)
    return f"bytes {start} to {end} random", content[:start] + draw.randbytes(end - start) + content[end:]


def duplicate(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A block occurs twice."""
    start, end = block_of(draw, content)
    return f"bytes {start} to {end} doubled", content[:end] + content[start:]


def clear(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A block is zeros, as a file system leaves it after a crash."""
    start, end = block_of(draw, content)
    return f"bytes {start} to {end} zero", content[:start] + bytes(end - start) + content[end:]


def remove(draw: Random, content: bytes) -> tuple[str, bytes]:
    """A block is missing."""
    start, end = block_of(draw, content)
    return f"bytes {start} to {end} missing", content[:start] + content[end:]


def swap(draw: Random, content: bytes) -> tuple[str, bytes]:
    """Two neighbouring blocks stand in the other order."""
    start, end = block_of(draw, content)
    middle = draw.randint(start, end)
    moved = content[middle:end] + content[start:middle]
    return f"bytes {start} to {middle} and {middle} to {end} swapped", content[:start] + moved + content[end:]


def block_of(draw: Random, content: bytes) -> tuple[int, int]:
    """Beginning and end of a block of at least one byte."""
    start = draw.randrange(len(content))
    return start, min(len(content), start + draw.choice((1, 2, 8, 64, 512, LONGEST_BLOCK)))


WAYS: tuple[Callable[[Random, bytes], tuple[str, bytes]], ...] = (
    *(flip, flip, flip_early, truncate, insert, overwrite, duplicate, clear, remove, swap),
)
