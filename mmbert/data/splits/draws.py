"""Random choice of rows: shares and folds, stratified, and in whole groups."""

from __future__ import annotations

import numpy as np

from mmbert.core.errors import ConfigError


def generator(seed: int, stream: int) -> np.random.Generator:
    """Random numbers of one purpose: another purpose's draws do not move them."""
    return np.random.default_rng([abs(int(seed)), stream])


def choose(strata: np.ndarray, groups: np.ndarray | None, share: float, random: np.random.Generator) -> np.ndarray:
    """Places of a share of the rows, chosen by chance.

    Args:
        strata: (n,) int64; each value keeps its share.
        groups: (n,) int64; whole groups alone are chosen. None = single rows.
        share: how much, of all rows.
        random: what draws.

    Returns:
        (k,) int64 places, k = round(share n) without groups.
    """
    if groups is not None:
        return choose_groups(strata, groups, share, random)
    order = random.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    _, counts = np.unique(strata, return_counts=True)
    wanted = apportion(counts * share, round(share * len(strata)), random)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.concatenate([order[start : start + n] for start, n in zip(starts, wanted, strict=True)])


def apportion(quotas: np.ndarray, total: int, random: np.random.Generator) -> np.ndarray:
    """Whole numbers that add up to ``total``, nearest to the quotas: the largest remainders are rounded up.

    Equal remainders, of many classes with one row each say, are ordered at random.
    """
    whole = np.floor(quotas).astype(np.int64)
    shuffled = random.permutation(len(quotas))
    largest = shuffled[np.argsort(-(quotas - whole)[shuffled], kind="stable")]
    whole[largest[: total - int(whole.sum())]] += 1
    return whole


def choose_groups(strata: np.ndarray, groups: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """As ``choose``: in random order, each group is taken that brings the strata's counts nearer to their share."""
    names, group = np.unique(groups, return_inverse=True)
    kinds, stratum = np.unique(strata, return_inverse=True)
    target = np.bincount(stratum, minlength=len(kinds)) * share
    places = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[places], np.arange(len(names) + 1))
    counts = np.zeros(len(kinds))
    taken: list[np.ndarray] = []
    for number in random.permutation(len(names)):
        members = places[edges[number] : edges[number + 1]]
        more = counts + np.bincount(stratum[members], minlength=len(kinds))
        if np.square(target - more).sum() < np.square(target - counts).sum():
            counts = more
            taken.append(members)
    return np.concatenate(taken) if taken else np.zeros(0, np.int64)


def fold_numbers(strata: np.ndarray, groups: np.ndarray | None, folds: int, random: np.random.Generator) -> np.ndarray:
    """(n,) int64: which fold each row is in. Strata are dealt out evenly; groups stay whole.

    Raises:
        ConfigError: there are fewer rows, or groups, than folds.
    """
    count = len(strata) if groups is None else len(np.unique(groups))
    if count < folds:
        raise ConfigError(f"data.folds={folds}, but there are only {count} {'rows' if groups is None else 'groups'}.")
    seed = int(random.integers(2**31))
    if groups is None:
        dealt = np.empty(len(strata), np.int64)
        order = random.permutation(len(strata))
        dealt[order[np.argsort(strata[order], kind="stable")]] = np.arange(len(strata)) % folds
        return dealt
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    enough = np.unique(strata, return_counts=True)[1].max() >= folds  # scikit-learn refuses what cannot be stratified
    kind = StratifiedGroupKFold if enough and len(np.unique(strata)) > 1 else GroupKFold
    dealt = np.empty(len(strata), np.int64)
    for number, (_, test) in enumerate(kind(folds, shuffle=True, random_state=seed).split(strata, strata, groups)):
        dealt[test] = number
    return dealt
