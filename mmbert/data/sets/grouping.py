"""Splits of rows that repeat each other: what shares a caption, a picture or a sound stays in one split."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mmbert.data.splits.draws import choose, generator

#: What stands at the end of a sentence, and is no difference between two captions.
END_MARKS = " .!?…。！？।"


def duplicate_groups(keys: Iterable[Iterable[Hashable]]) -> np.ndarray:
    """(n,) int64 group numbers: rows that share a key are in one group, also through others.

    Args:
        keys: of each row, such as its captions and the digests of its files.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[Hashable, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    count = 0
    for row, own in enumerate(keys):
        count = row + 1
        for key in own:
            rows.append(row)
            columns.append(numbers.setdefault(key, len(numbers)))
    size = count + len(numbers)  # rows and keys are the nodes of one graph
    edges = (np.ones(len(rows)), (rows, [count + column for column in columns]))
    return np.asarray(connected_components(coo_array(edges, shape=(size, size)), directed=False)[1][:count], np.int64)


def draw_grouped(
    groups: Sequence[int] | np.ndarray, strata: Sequence[Hashable], shares: Mapping[str, float], seed: int = 0
) -> list[str]:
    """The split of each row: whole groups, each stratum as near to its share as they allow; the rest is train.

    Args:
        groups: (n,) group numbers.
        strata: (n,) what each split should have its share of, such as a topic.
        shares: of the rows, by split: ``{"test": 0.2, "val": 0.1}``.
        seed: of the draw.
    """
    names: dict[Hashable, int] = {}
    strata_numbers = np.asarray([names.setdefault(one, len(names)) for one in strata], np.int64)
    numbers = np.asarray(groups, np.int64)
    splits = np.full(len(numbers), "train", dtype=object)
    left = np.arange(len(numbers))
    for stream, (split, share) in enumerate(shares.items()):
        of_left = share * len(numbers) / len(left)
        chosen = left[choose(strata_numbers[left], numbers[left], of_left, generator(seed, stream))]
        splits[chosen] = split
        left = np.setdiff1d(left, chosen)
    return [str(split) for split in splits]


def caption_key(text: str) -> str:
    """A caption without what makes no other caption of it: capitals, spaces, marks at its end, forms of letters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(END_MARKS)


def bytes_key(path: Path) -> bytes:
    """A digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).digest()
