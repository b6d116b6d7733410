"""Sequences of features of published sets: without padding, without infinity, as a file of their own."""

from __future__ import annotations

import io

import numpy as np

from mmbert.data.sets.base import NewFile


def unpadded(sequence: np.ndarray, length: int | None = None) -> np.ndarray:
    """(L, D) -> (l, D): the first ``length`` vectors, without those at either end that are zero throughout."""
    kept = np.asarray(sequence)[:length]
    filled = np.flatnonzero(kept.any(1))
    return kept[filled[0] : filled[-1] + 1] if len(filled) else kept[:0]


def made_finite(sequence: np.ndarray) -> tuple[np.ndarray, int]:
    """float32 with zeros in the place of numbers that are none or infinite, and how many there were."""
    odd = ~np.isfinite(sequence)
    return np.where(odd, 0, sequence).astype(np.float32), int(odd.sum())


def feature_file(name: str, sequence: np.ndarray) -> NewFile | None:
    """A ``.npy`` file of a sequence (L, D); None if it is empty: the sample lacks the modality."""
    if not len(sequence):
        return None
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(sequence), allow_pickle=False)
    return NewFile(f"{name}.npy", content.getvalue())


def safe_name(name: str) -> str:
    """A sample's id as the name of a file."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
