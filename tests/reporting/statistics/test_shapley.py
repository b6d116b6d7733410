"""Shapley values against the definition over orders, and what they must keep."""

import itertools

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.reporting.statistics.shapley import constant_guess, contributions, shapley_values

METRIC = "test/t/accuracy"
NAMES = ("audio", "image", "text")


def subsets(names):
    return [frozenset(part) for size in range(len(names) + 1) for part in itertools.combinations(names, size)]


@st.composite
def worths(draw):
    names = [f"m{n}" for n in range(draw(st.integers(1, 4)))]
    return {subset: draw(st.floats(-1, 1)) for subset in subsets(names)}


def by_orders(worth):
    """The mean over all orders of what each adds when it comes in: another way to the same."""
    names = sorted(max(worth, key=len))
    orders = list(itertools.permutations(names))
    values = dict.fromkeys(names, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            values[name] += (worth[before | {name}] - worth[before]) / len(orders)
    return values


@settings(max_examples=60, deadline=None)
@given(worths())
def test_they_are_the_mean_over_orders_and_add_up(worth):
    values = shapley_values(worth)
    assert values == pytest.approx(by_orders(worth), abs=1e-9)
    assert sum(values.values()) == pytest.approx(worth[max(worth, key=len)] - worth[frozenset()], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(worths())
def test_one_that_changes_nothing_has_nothing_and_twins_have_the_same(worth):
    names = sorted(max(worth, key=len))
    with_dummy = {s | extra: v for s, v in worth.items() for extra in (frozenset(), frozenset({"dummy"}))}
    assert shapley_values(with_dummy)["dummy"] == pytest.approx(0, abs=1e-9)
    twins = {s | extra: v + 0.3 * bool(extra) for s, v in worth.items() for extra in subsets(("one", "other"))}
    values = shapley_values(twins)
    assert values["one"] == pytest.approx(values["other"], abs=1e-9)
    assert set(values) == {*names, "one", "other"}


def test_a_missing_subset_is_refused():
    with pytest.raises(ValueError, match=r"the worth of \['a'\] is not known"):
        shapley_values({frozenset(): 0.0, frozenset({"b"}): 1.0, frozenset({"a", "b"}): 1.0})


def write_targets(folder, targets):
    (folder / "predictions").mkdir(parents=True)
    pd.DataFrame({"row": range(len(targets)), "t/target": targets}).to_parquet(folder / "predictions" / "test.parquet")
    return folder


def test_the_constant_guess(tmp_path):
    assert constant_guess(write_targets(tmp_path / "a", ["x", "x", "y", None]), "test", "t", "accuracy") == 2 / 3
    assert constant_guess(write_targets(tmp_path / "b", [0.0, 1.0, 5.0]), "test", "t", "mae") == 5 / 3


def ablation(folder, leave_out=()):
    run = write_targets(folder / "run", ["x"] * 3 + ["y"] * 7)
    rows = [
        {
            "run": str(run),
            "modalities": "+".join(sorted(s)),
            "seed": seed,
            "test/t/accuracy": 0.7 + 0.05 * len(s) + seed / 100,
        }
        for seed in range(2)
        for s in subsets(NAMES)
        if s and (seed, s) not in leave_out
    ]
    return pd.DataFrame(rows)


def test_contributions_from_runs(tmp_path):
    found = contributions(ablation(tmp_path), METRIC)
    assert [one.modality for one in found] == list(NAMES)
    assert all(one.empty == 0.7 for one in found)
    assert found[0].values == pytest.approx({0: 0.05, 1: 0.05 + 0.01 / 3})
    assert sum(one.mean for one in found) == pytest.approx(found[0].full - 0.7)


def test_seeds_without_every_subset_do_not_count(tmp_path):
    runs = ablation(tmp_path, leave_out={(1, frozenset({"text"}))})
    assert list(contributions(runs, METRIC)[0].values) == [0]
    assert contributions(runs[runs["seed"] == 1], METRIC) == []
