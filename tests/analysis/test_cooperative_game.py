"""Shapley values and interactions: their axioms, hand numbers, and other ways to compute the same."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmbert.analysis.cooperative_game import (
    interactions_of_subsets,
    shapley_of_subsets,
    shares_of_values,
    subset_members,
)
from mmbert.reporting.statistics.shapley import shapley_values


def game_of(players):
    return arrays(np.float64, 2**players, elements=st.floats(-10, 10, allow_nan=False))


games = st.integers(1, 5).flatmap(game_of)


def number_of(subset):
    return sum(1 << player for player in subset)


def players_of(worth):
    return int(math.log2(len(worth)))


def by_orders(worth):
    """Shapley's own words: the mean over all orders of what a player adds to those before it."""
    players = players_of(worth)
    values = np.zeros(players)
    for order in itertools.permutations(range(players)):
        for place, player in enumerate(order):
            before = number_of(order[:place])
            values[player] += worth[before | 1 << player] - worth[before]
    return values / math.factorial(players)


def interaction_by_merging(worth, one, other):
    """Grabisch and Roubens' recursion: φ of the pair as one player, less what each has where the other is gone."""
    rest = [player for player in range(players_of(worth)) if player not in (one, other)]

    def value_of(joined):
        """φ of ``joined``, a set of old players, in the game of it and the rest."""
        total = 0.0
        for size in range(len(rest) + 1):
            weight = math.factorial(size) * math.factorial(len(rest) - size) / math.factorial(len(rest) + 1)
            for subset in itertools.combinations(rest, size):
                total += weight * (worth[number_of((*subset, *joined))] - worth[number_of(subset)])
        return total

    return value_of((one, other)) - value_of((one,)) - value_of((other,))


@given(games)
@settings(deadline=None, max_examples=30)
def test_values_are_the_mean_over_all_orders_and_what_reports_compute(worth):
    values = shapley_of_subsets(worth)
    np.testing.assert_allclose(values, by_orders(worth), atol=1e-9)
    named = {
        frozenset(str(i) for i in range(len(values)) if number >> i & 1): float(value)
        for number, value in enumerate(worth)
    }
    np.testing.assert_allclose(values, list(shapley_values(named).values()), atol=1e-9)


@given(games)
@settings(deadline=None, max_examples=30)
def test_efficiency(worth):
    assert shapley_of_subsets(worth).sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


@given(games, st.data())
@settings(deadline=None, max_examples=30)
def test_additivity(worth, data):
    other = data.draw(game_of(players_of(worth)))
    for of in (shapley_of_subsets, interactions_of_subsets):
        np.testing.assert_allclose(of(worth + 2 * other), of(worth) + 2 * of(other), atol=1e-8)


@given(games)
@settings(deadline=None, max_examples=30)
def test_a_player_that_changes_nothing_has_nothing_and_leaves_the_others_as_they_were(worth):
    players = players_of(worth)
    with_dummy = np.concatenate([worth, worth])  # the last player makes no difference
    values = shapley_of_subsets(with_dummy)
    assert abs(values[players]) < 1e-12
    np.testing.assert_allclose(values[:players], shapley_of_subsets(worth), atol=1e-9)
    joint = interactions_of_subsets(with_dummy)
    np.testing.assert_allclose(joint[players], 0, atol=1e-12)
    np.testing.assert_allclose(joint[:players, :players], interactions_of_subsets(worth), atol=1e-9)


@given(games, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_symmetry_players_renamed_take_their_values_along(worth, random):
    players = players_of(worth)
    names = random.sample(range(players), players)  # old player i is called names[i]
    renamed = np.zeros_like(worth)
    for number, value in enumerate(worth):
        renamed[number_of(names[i] for i in range(players) if number >> i & 1)] = value
    np.testing.assert_allclose(shapley_of_subsets(renamed)[names], shapley_of_subsets(worth), atol=1e-9)
    joint = interactions_of_subsets(renamed)[np.ix_(names, names)]
    np.testing.assert_allclose(joint, interactions_of_subsets(worth), atol=1e-9)


@given(st.integers(2, 5).flatmap(game_of))
@settings(deadline=None, max_examples=30)
def test_interactions_are_those_of_pairs_merged_into_one_player(worth):
    joint = interactions_of_subsets(worth)
    np.testing.assert_allclose(joint, joint.T, atol=1e-12)
    for one, other in itertools.combinations(range(players_of(worth)), 2):
        assert joint[one, other] == pytest.approx(interaction_by_merging(worth, one, other), abs=1e-8)


def test_hand_numbers():
    """Three players, one left glove (0) and two right ones: a pair is worth 1. φ = 2/3, 1/6, 1/6."""
    gloves = np.array([float(0 in s and (1 in s or 2 in s)) for s in map(members_of, range(8))])
    np.testing.assert_allclose(shapley_of_subsets(gloves), [2 / 3, 1 / 6, 1 / 6])
    # I_01: weights 1/2 for S = {} and S = {2}: 1/2·(1 - 0 - 0 + 0) + 1/2·(1 - 1 - 0 + 0) = 1/2
    # I_12: 1/2·(0) + 1/2·(1 - 1 - 1 + 0) = -1/2
    np.testing.assert_allclose(interactions_of_subsets(gloves)[0, 1], 0.5)
    np.testing.assert_allclose(interactions_of_subsets(gloves)[1, 2], -0.5)
    # two players: each alone 0.2 and 0.3, together 0.9, nothing 0.1: φ_0 = ((0.2-0.1) + (0.9-0.3)) / 2
    np.testing.assert_allclose(shapley_of_subsets(np.array([0.1, 0.2, 0.3, 0.9])), [0.35, 0.45])
    np.testing.assert_allclose(interactions_of_subsets(np.array([0.1, 0.2, 0.3, 0.9]))[0, 1], 0.5)


def members_of(number):
    return {i for i in range(8) if number >> i & 1}


def test_many_games_at_once_are_each_by_itself():
    worth = np.random.default_rng(0).normal(size=(5, 2, 8))
    assert shapley_of_subsets(worth).shape == (5, 2, 3) and interactions_of_subsets(worth).shape == (5, 2, 3, 3)
    np.testing.assert_allclose(shapley_of_subsets(worth)[3, 1], by_orders(worth[3, 1]))
    np.testing.assert_allclose(interactions_of_subsets(worth)[3, 1], interactions_of_subsets(worth[3, 1]))


def test_subsets_are_numbered_by_bits():
    assert subset_members(2).tolist() == [[False, False], [True, False], [False, True], [True, True]]


def test_shares_are_of_the_sizes_and_rounding_has_none():
    np.testing.assert_allclose(shares_of_values(np.array([0.3, -0.1]), np.array([0, 0.3, -0.1, 0.2])), [0.75, 0.25])
    assert np.isnan(shares_of_values(np.array([1e-8, -1e-8]), np.array([0.5, 0.5, 0.5, 0.5]))).all()
    with pytest.raises(AssertionError, match="power of two"):
        shapley_of_subsets(np.zeros(6))
