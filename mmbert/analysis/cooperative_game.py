r"""Shapley values and interactions of players, exactly, from the worth of all 2^M subsets of them.

    φ_i  = Σ over S ⊆ N \ {i}    of |S|! (M - |S| - 1)! / M!       · (v(S ∪ {i}) - v(S))
    I_ij = Σ over S ⊆ N \ {i, j} of |S|! (M - |S| - 2)! / (M - 1)! · (v(S ∪ {i, j}) - v(S ∪ {i}) - v(S ∪ {j}) + v(S))

φ: Shapley 1953, "A value for n-person games". I: the Shapley interaction index, Grabisch and Roubens 1999, "An
axiomatic approach to the concept of interaction among players in cooperative games". A player that changes nothing has
φ = 0 and I = 0 with all others, and theirs are what they would be without it.

Subsets are numbered: player i is in subset s where bit i of s is set, so 0 is the empty one and 2^M - 1 the whole.
"""

from __future__ import annotations

import math

import numpy as np


def subset_members(players: int) -> np.ndarray:
    """(2^M, M) bool: which players are in which subset."""
    numbers = np.arange(2**players)
    return (numbers[:, None] >> np.arange(players)) & 1 == 1


def shapley_of_subsets(worth: np.ndarray) -> np.ndarray:
    """(..., 2^M) what the subsets are worth -> (..., M) Shapley values, float64; they sum to v(N) - v(∅)."""
    players = _players(worth)
    members = subset_members(players)
    sizes = members.sum(1)
    total = math.factorial(players)
    weights = np.zeros(members.shape)
    for subset, player in np.ndindex(*members.shape):
        inside = int(members[subset, player])
        others = int(sizes[subset]) - inside
        weight = math.factorial(others) * math.factorial(players - others - 1) / total
        weights[subset, player] = weight if inside else -weight
    return np.asarray(worth, dtype=np.float64) @ weights


def interactions_of_subsets(worth: np.ndarray) -> np.ndarray:
    """(..., 2^M) -> (..., M, M) interactions of pairs, float64, symmetric, 0 on the diagonal.

    Above 0 two players give more together than each by itself; below 0 one makes the other superfluous.
    """
    players = _players(worth)
    members = subset_members(players)
    sizes = members.sum(1)
    weights = np.zeros((len(members), players, players))
    for subset, one, other in np.ndindex(*weights.shape):
        if one == other:
            continue
        inside = int(members[subset, one]) + int(members[subset, other])
        others = int(sizes[subset]) - inside
        weight = math.factorial(others) * math.factorial(players - others - 2) / math.factorial(players - 1)
        weights[subset, one, other] = -weight if inside == 1 else weight
    flat = np.asarray(worth, dtype=np.float64) @ weights.reshape(len(members), -1)
    return flat.reshape(*flat.shape[:-1], players, players)


def shares_of_values(values: np.ndarray, worth: np.ndarray) -> np.ndarray:
    """Shares |φ_i| / Σ|φ|, which sum to 1; NaN where all φ are 0 but for rounding.

    Args:
        values: (..., M) Shapley values.
        worth: (..., 2^M) of which they are; below 1e-6 of the largest a sum is rounding of float32.
    """
    sizes = np.abs(values)
    total = sizes.sum(-1, keepdims=True)
    some = total > 1e-6 * np.abs(worth).max(-1, keepdims=True)
    return np.where(some, sizes / np.where(some, total, 1), np.nan)


def _players(worth: np.ndarray) -> int:
    """M, from the number of subsets."""
    count = np.shape(worth)[-1]
    players = count.bit_length() - 1
    assert count == 2**players, f"{count} subsets: a power of two is wanted"
    return players
