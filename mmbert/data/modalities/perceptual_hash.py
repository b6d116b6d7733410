"""Perceptual hashes of images, and all pairs of hashes that lie near each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from PIL.Image import Image, Resampling
from scipy.fft import dctn

#: Side of the grey picture that is transformed, and of the block of low frequencies that is kept.
SIDE, BLOCK = 32, 8
BITS = BLOCK * BLOCK
#: Pictures whose hashes differ in so many of their 64 bits, or fewer, count as the same picture.
NEAR = 4
#: Grey pictures that vary less than this (standard deviation, of 255) have no pattern that a hash could capture.
FLAT = 2.0


def perceptual_hash(image: Image) -> int | None:
    """pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"): 64 bits.

    The picture in grey at 32 x 32, its discrete cosine transform, of which the 8 x 8 lowest frequencies are compared
    with their median. Scaling, recompression and small changes of brightness or contrast move few bits.

    Returns:
        The bits, the lowest frequency first, as one number; None for a picture that is all of one grey.
    """
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Resampling.LANCZOS), np.float64)
    if grey.std() < FLAT:
        return None
    low = dctn(grey, type=2, norm="ortho")[:BLOCK, :BLOCK].ravel()
    bits = low > np.median(low)
    return int("".join("1" if bit else "0" for bit in bits), 2)


def distance(first: int, second: int) -> int:
    """In how many bits two hashes differ."""
    return (first ^ second).bit_count()


def near_pairs(hashes: Sequence[int], limit: int = NEAR, bits: int = BITS) -> Iterator[tuple[int, int]]:
    """All pairs of places ``i < j`` whose hashes differ in at most ``limit`` bits, each once.

    Cut into ``limit + 1`` bands, two hashes with so few differences agree in at least one band: only those that share
    a band are compared, and none is missed.
    """
    edges = [round(band * bits / (limit + 1)) for band in range(limit + 2)]
    seen: set[tuple[int, int]] = set()
    for low, high in zip(edges, edges[1:], strict=False):
        mask = ((1 << (high - low)) - 1) << low
        buckets: dict[int, list[int]] = defaultdict(list)
        for place, value in enumerate(hashes):
            for other in buckets[value & mask]:
                if (other, place) not in seen and distance(hashes[other], value) <= limit:
                    seen.add((other, place))
                    yield other, place
            buckets[value & mask].append(place)
