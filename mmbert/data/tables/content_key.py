"""The key of some bytes, by which the same picture, sound or text is recognised wherever it lies."""

from __future__ import annotations

import xxhash

from mmbert.data.tables.file_memo import halves


def content_key(content: bytes) -> tuple[int, int]:
    """A 128-bit hash of some bytes, as two numbers that are never both 0."""
    return halves(xxhash.xxh3_128_intdigest(content))
