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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.base import Modality
from mmbert.data.modalities.perceptual_hash import near_pairs
from mmbert.data.quality.files import all_facts

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
    facts = list(all_facts((cells[place] for place in filled), folder, modality, {}))
    good = [(place, fact) for place, fact in zip(filled, facts, strict=True) if not fact.fault]
    firsts: dict[Any, int] = {}
    for place, fact in good:
        firsts.setdefault(fact.digest, place)
    number_of = {place: number for number, place in enumerate(firsts.values())}
    distinct = list(firsts.values())
    by_place = dict(good)
    if modality.shown_as == "text":
        pairs = near_texts([plain_words(cells[place]) for place in distinct])
    elif modality.shown_as == "audio":
        pairs = near_sounds([cells[place] for place in distinct], folder, modality)
    else:
        looks = [(number_of[place], look) for place in distinct if (look := by_place[place].look) is not None]
        pairs = ((looks[i][0], looks[j][0]) for i, j in near_pairs([look for _, look in looks]))
    joined = components(len(distinct), pairs)
    groups = np.full(len(cells), -1)
    for place, fact in good:
        groups[place] = joined[number_of[firsts[fact.digest]]]
    return groups


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
    """Pairs of places whose texts are nearly the same."""
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return
    counts = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), alternate_sign=False).transform(texts)
    for start in range(0, len(texts), COSINE_ROWS):
        cosines = (counts[start : start + COSINE_ROWS] @ counts.T).tocoo()
        for i, j in zip(*(axis[cosines.data >= NEAR_TEXT] for axis in cosines.coords), strict=True):
            if start + i < j:
                yield int(start + i), int(j)
    yield from same_texts(texts)


def same_texts(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Equal texts, also those too short for groups of letters."""
    firsts: dict[str, int] = {}
    for place, text in enumerate(texts):
        if (first := firsts.setdefault(text, place)) != place:
            yield first, place


def near_sounds(cells: Sequence[Any], folder: Path, modality: Modality) -> Iterator[tuple[int, int]]:
    """Pairs of places whose sounds are nearly the same."""
    places, prints = [], []
    for place, cell in enumerate(cells):
        try:
            samples, rate = modality.read(cell, folder, COMPARED_SECONDS)
        except MmbertError:
            continue
        made = sound_fingerprint(np.asarray(samples, np.float64), int(rate))
        if made is not None:
            places.append(place)
            prints.append(made)
    if not prints:
        return
    vectors = np.stack(prints)
    for start in range(0, len(vectors), COSINE_ROWS):
        for i, j in zip(*np.nonzero(vectors[start : start + COSINE_ROWS] @ vectors.T >= NEAR_SOUND), strict=True):
            if start + i < j:
                yield places[start + i], places[j]


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
