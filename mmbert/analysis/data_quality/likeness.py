"""Which cells of one modality are near-duplicates: groups of rows whose picture, text or sound is nearly the same.

    pictures  perceptual hashes that differ in at most 4 of 64 bits (``mmbert.data.modalities.perceptual_hash``)
    texts     cosine of the counts of their groups of 3 to 5 letters, capitals and points apart, of at least 0.9
    sounds    cosine of their log spectra, 32 bands by 32 parts of their duration, of at least 0.98
    others    the same content

None of it depends on an encoder: vectors of one that was trained on classes are alike for all samples of a class.
Groups are connected components: a chain of near pairs is one group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.media import MediaModality
from mmbert.data.modalities.perceptual_hash import near_pairs
from mmbert.data.quality.files import all_facts, read_each

#: Cosines from which two texts, and two sounds, count as nearly the same.
NEAR_TEXT, NEAR_SOUND = 0.9, 0.98
#: Bands and parts of a sound's fingerprint; hertz of the lowest and the highest band.
BANDS, PARTS, LOWEST_HZ, HIGHEST_HZ = 32, 32, 80.0, 7600.0
#: Seconds of a sound that are compared.
COMPARED_SECONDS = 30.0
#: Rows of a block of cosines.
COSINE_ROWS = 1024


def alike_groups(cells: Sequence[Any], folder: Path, modality: Modality) -> np.ndarray:
    """(n,) int64: equal numbers, near-duplicates; -1 for an empty cell and one that cannot be read.

    Args:
        cells: n; None = the sample lacks the modality.
        folder: of the table.
        modality: what they are.
    """
    filled = [place for place, cell in enumerate(cells) if cell is not None]
    looks = cell_looks([cells[place] for place in filled], folder, modality)
    good = [(place, *look) for place, look in zip(filled, looks, strict=True) if look is not None]
    numbers: dict[Any, int] = {}
    distinct: list[Any] = []  # looks of contents that differ, by their number
    for _, digest, look in good:
        if digest not in numbers:
            numbers[digest] = len(distinct)
            distinct.append(look)
    shown = [number for number, look in enumerate(distinct) if look is not None]
    finders: dict[str, Callable[[list[Any]], Iterator[tuple[int, int]]]]
    finders = {"text": near_texts, "audio": near_sounds}
    near = finders.get(modality.shown_as, near_pairs)
    pairs = ((shown[i], shown[j]) for i, j in near([distinct[number] for number in shown]))
    joined = components(len(distinct), pairs)
    groups = np.full(len(cells), -1)
    for place, digest, _ in good:
        groups[place] = joined[numbers[digest]]
    return groups


def cell_looks(cells: Sequence[Any], folder: Path, modality: Modality) -> list[tuple[bytes, Any] | None]:
    """Of each cell a digest of its content and what is compared: plain words, bits, a sound's fingerprint, or None.

    None in place of both for a cell that cannot be read. Each is read once.
    """
    if modality.shown_as == "audio" and isinstance(modality, MediaModality):
        return list(read_each(cells, lambda cell: sound_look(cell, folder, modality), modality.names_files))
    facts = all_facts(cells, folder, modality, {})
    is_text = modality.shown_as == "text"
    return [
        None if fact.fault else (fact.digest, plain_words(cell) if is_text else fact.look)
        for cell, fact in zip(cells, facts, strict=True)
    ]


def components(count: int, pairs: Iterator[tuple[int, int]]) -> np.ndarray:
    """(count,) int64: the connected component of each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    found = np.array(list(pairs), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(found), bool), (found[:, 0], found[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def plain_words(cell: Any) -> str:
    """A cell of texts, one or two that are read together, as its words: capitals, spaces and points do not count."""
    parts = cell if isinstance(cell, (list, tuple)) else [cell]
    whole = " ".join(str(part).casefold() for part in parts if part is not None)
    return " ".join(re.findall(r"\w+", whole)) or whole


def near_texts(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose texts are nearly the same; each at least once."""
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False).transform(texts)
    rare = rare_parts(counts)
    for start in range(0, len(texts), COSINE_ROWS):
        shared = (rare[start : start + COSINE_ROWS] @ counts.T).tocoo()
        i, j = shared.coords[0] + start, shared.coords[1]
        i, j = i[i < j], j[i < j]
        near = np.asarray(counts[i].multiply(counts[j]).sum(1)).ravel() >= NEAR_TEXT
        yield from zip(i[near].tolist(), j[near].tolist(), strict=True)
    yield from same_texts(texts)


def rare_parts(counts: Any) -> Any:
    """Of each text the rarest groups of letters, as few as every text that is near it must share one of.

    Let x = c + r, c of length below ``NEAR_TEXT``. A y of length 1 that shares nothing with r has x·y = c·y ≤ ‖c‖, and
    so is not near (Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"). Groups that are in r are
    in few texts, and so the table of pairs that share one is small where that of all cosines is not.

    Args:
        counts: (n, features) sparse, rows of length 1.
    """
    from scipy.sparse import csr_array

    often = np.bincount(counts.indices, minlength=counts.shape[1])
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((-often[counts.indices], row))  # each row's groups, the commonest first
    squares = np.cumsum(counts.data[order] ** 2)
    before = np.concatenate([[0.0], squares])[counts.indptr[:-1]]  # of the rows above
    kept = order[squares - before[row] >= (NEAR_TEXT - 1e-6) ** 2]
    return csr_array((counts.data[kept], (row[kept], counts.indices[kept])), shape=counts.shape)


def same_texts(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Equal texts, also those too short for groups of letters."""
    firsts: dict[str, int] = {}
    for place, text in enumerate(texts):
        if (first := firsts.setdefault(text, place)) != place:
            yield first, place


def near_sounds(prints: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Pairs of places whose fingerprints are nearly the same."""
    if not prints:
        return
    vectors = np.stack(prints)
    for start in range(0, len(vectors), COSINE_ROWS):
        for i, j in zip(*np.nonzero(vectors[start : start + COSINE_ROWS] @ vectors.T >= NEAR_SOUND), strict=True):
            if start + i < j:
                yield int(start + i), int(j)


def sound_look(cell: Any, folder: Path, modality: MediaModality) -> tuple[bytes, np.ndarray | None] | None:
    """The digest of a sound's file and the fingerprint of its first seconds; None if it cannot be read."""
    try:
        samples, rate = modality.read(cell, folder, COMPARED_SECONDS)
        return modality.stored_digest(cell, folder), sound_fingerprint(np.asarray(samples, np.float64), int(rate))
    except (MmbertError, MemoryError):
        return None


def sound_fingerprint(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """A waveform -> (BANDS * PARTS,) of mean 0 and length 1; None for silence, and for less than 0.05 s.

    Loudness, a trifle of noise and compression change it little; another speed, or another take of the words, much.
    """
    from scipy.signal import spectrogram

    if len(samples) < 0.05 * rate or np.ptp(samples) == 0:
        return None
    width = min(len(samples), int(0.032 * rate))
    hertz, _, power = spectrogram(samples, rate, nperseg=width, noverlap=width // 2)
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    band = np.searchsorted(edges, hertz) - 1
    inside = (band >= 0) & (band < BANDS)
    mixed = np.zeros((BANDS, power.shape[1]))
    np.add.at(mixed, band[inside], power[inside])
    parts = np.array_split(mixed, PARTS, axis=1) if mixed.shape[1] >= PARTS else np.split(stretched(mixed), PARTS, 1)
    energy = np.stack([part.mean(1) for part in parts], 1)
    # what lies 50 dB below the loudest is noise
    level = np.log(np.maximum(energy, 1e-5 * energy.max())).ravel()
    level -= level.mean()
    norm = np.linalg.norm(level)
    return None if norm == 0 else np.asarray(level / norm)


def stretched(mixed: np.ndarray) -> np.ndarray:
    """(BANDS, t) with t < PARTS -> (BANDS, PARTS), the nearest frame for each part."""
    return mixed[:, np.round(np.linspace(0, mixed.shape[1] - 1, PARTS)).astype(int)]
