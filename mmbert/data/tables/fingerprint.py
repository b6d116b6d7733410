"""Fingerprints (hashes) of a table and of its splits, by which runs on the same data are recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

#: Hexadecimal digits of a fingerprint.
FINGERPRINT_LENGTH = 16


def file_fingerprint(path: Path) -> str:
    """Of a file's bytes: equal files, equal fingerprints, wherever they lie and whenever they were written."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:FINGERPRINT_LENGTH]


def splits_fingerprint(rows: Mapping[str, np.ndarray]) -> str:
    """Of which rows (n,) int64 are in which split; in the order of names, whatever the mapping's."""
    digest = hashlib.sha256()
    for name in sorted(rows):
        numbers = np.ascontiguousarray(np.sort(rows[name]), "<i8")
        digest.update(f"{name}:{len(numbers)}:".encode())
        digest.update(numbers.tobytes())
    return digest.hexdigest()[:FINGERPRINT_LENGTH]
