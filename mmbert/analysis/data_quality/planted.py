"""How well contradictions would be found in these very data: mismatches are planted among the predictions.

What a unimodal head says depends on its modality alone, and so does a retrieval vector. Giving a modality's predictions
to another row of the same fold is what swapping the inputs would do, without reading a file again; the models were
trained on rows as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from mmbert.analysis.data_quality.contradictions import auroc
from mmbert.data.splits.draws import generator

#: Share of the complete rows of a fold that are given another row's modality.
PLANTED_SHARE = 0.1
PLANT_DRAW = 23

Partners = Literal["other class", "same class", "any"]


def planted_swap(
    candidates: np.ndarray, fold: np.ndarray, classes: np.ndarray | None, partners: Partners, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows get whose modality.

    Args:
        candidates: (k,) int64, places of rows that may be changed.
        fold: (N,) int64; a row gets its modality from the same fold.
        classes: (N,) int64; None with ``any``.
        partners: of which class the giver is.
        seed: of the draw.

    Returns:
        (p,) places that are changed, and (p,) whose modality each gets, never their own; rows without a partner are
        left out.
    """
    random = generator(seed, PLANT_DRAW)
    changed, givers = [], []
    for number in np.unique(fold[candidates]):
        places = candidates[fold[candidates] == number]
        for place in random.permutation(places)[: max(1, round(PLANTED_SHARE * len(places)))]:
            others = places[places != place]
            if classes is not None and partners != "any":
                same = classes[others] == classes[place]
                others = others[same if partners == "same class" else ~same]
            if len(others):
                changed.append(int(place))
                givers.append(int(random.choice(others)))
    return np.array(changed, np.int64), np.array(givers, np.int64)


def planted_auroc(
    given: np.ndarray,
    present: np.ndarray,
    fold: np.ndarray,
    classes: np.ndarray | None,
    partners: Partners,
    m: int,
    score: Callable[[np.ndarray], np.ndarray],
    seed: int,
) -> tuple[float | None, int]:
    """AUROC of scores for rows whose modality m was swapped against all others, and how many were swapped.

    Args:
        given: (N, M, ...) predictions or vectors by modality.
        present: (N, M) bool.
        fold: (N,) int64.
        classes: (N,) int64, -1 = none, or None.
        partners: whose modality is planted.
        m: the modality.
        score: of predictions like ``given``, (N,) contradictions.
        seed: of the draw.
    """
    whole = present[:, m] & (present.sum(1) > 1) & (fold >= 0)
    if classes is not None:
        whole &= classes >= 0
    changed, givers = planted_swap(np.flatnonzero(whole), fold, classes, partners, seed)
    if not len(changed):
        return None, 0
    planted = given.copy()
    planted[changed, m] = given[givers, m]
    is_planted = np.zeros(len(given), bool)
    is_planted[changed] = True
    return auroc(np.where(whole, score(planted), np.nan), is_planted), len(changed)
