"""Statistics against numbers that were computed another way."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmbert.core.errors import DataError
from mmbert.reporting.statistics.compare import (
    bootstrap_difference,
    bootstrap_interval,
    compare,
    hedges_g,
    holm,
    mcnemar,
    paired_t,
    sign_flips,
)
from mmbert.reporting.statistics.samples import compare_samples, per_sample

COVERS = ("samples",)

#: Student 1908, "The probable error of a mean": hours of sleep gained by two drugs, ten patients.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_the_paired_t_test_gives_students_own_numbers():
    p, low, high = paired_t(SECOND - FIRST)
    assert p == pytest.approx(0.002833, abs=1e-6)  # as R's t.test(extra ~ group, paired = TRUE) prints it
    assert (low, high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert p == pytest.approx(stats.ttest_rel(SECOND, FIRST).pvalue)


def test_differences_without_spread():
    assert paired_t(np.array([0.1, 0.1, 0.1]))[0] == 0
    assert paired_t(np.zeros(4))[0] == 1
    assert math.isnan(paired_t(np.array([0.3]))[0])


def test_sign_flips_by_hand():
    assert sign_flips(np.array([1.0, 2.0, 3.0])) == 2 / 8  # all up or all down
    assert sign_flips(np.array([1.0, -2.0, 3.0])) == 6 / 8  # |sum| >= 2: all but +1+2-3 and its mirror
    assert sign_flips(np.ones(5)) == 2 / 32
    assert math.isnan(sign_flips(np.array([])))


def test_many_flips_are_drawn_and_near_the_exact_share():
    differences = np.random.default_rng(1).normal(0.4, 1, 16)
    exact = sign_flips(differences)
    assert sign_flips(np.append(differences, 0.0)) == pytest.approx(exact, abs=0.02)


def test_hedges_g_by_hand():
    differences = np.array([1.0, 2.0, 3.0, 6.0])
    spread = math.sqrt(((-2) ** 2 + (-1) ** 2 + 0 + 3**2) / 3)
    assert hedges_g(differences) == pytest.approx(3 / spread * (1 - 3 / 11))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, math.nan, 0.5])[0] == pytest.approx(1.0)
    assert math.isnan(holm([0.6, math.nan, 0.5])[1])
    assert holm([]) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_none_and_bonferroni_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q + 1e-12
        assert q <= min(1.0, p * len(p_values)) + 1e-12 or q <= max(corrected)
    for (p, q), (other, r) in itertools.combinations(zip(p_values, corrected, strict=True), 2):
        if p < other:
            assert q <= r
    assert min(corrected) == pytest.approx(min(1.0, min(p_values) * len(p_values)))


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(150):
        low, high = bootstrap_interval(random.normal(2.0, 1.0, 25), seed)
        hits += low <= 2.0 <= high
    assert 0.87 <= hits / 150 <= 0.99
    assert all(map(math.isnan, bootstrap_interval([1.0, 2.0])))
    assert all(map(math.isnan, bootstrap_interval([1.0, 1.0, 1.0])))


def test_mcnemar_is_a_binomial_by_hand():
    first = np.array([True] * 8 + [False] * 2 + [True] * 30)
    second = np.array([False] * 8 + [True] * 2 + [True] * 30)
    expected = 2 * sum(math.comb(10, k) for k in range(3)) / 2**10  # 2 or fewer of 10, either way
    assert mcnemar(first, second) == (8, 2, pytest.approx(expected))
    assert mcnemar(first, first)[2] == 1


def test_the_bootstrap_of_a_difference_is_near_the_normal_interval():
    random = np.random.default_rng(0)
    second = random.normal(0, 1, 4000)
    first = second + random.normal(0.1, 0.5, 4000)
    mean, low, high = bootstrap_difference(first, second)
    half = 1.96 * (first - second).std(ddof=1) / math.sqrt(4000)
    assert mean == pytest.approx((first - second).mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=half / 5)


def runs_of(shift, spread=0.001, seeds=5):
    random = np.random.default_rng(7)
    level = random.normal(0.7, 0.05, seeds)  # seeds differ by far more than the strategies do
    return {
        name: {seed: level[seed] + move + random.normal(0, spread) for seed in range(seeds)}
        for name, move in shift.items()
    }


def test_pairing_by_seed_shows_what_unpaired_groups_hide():
    values = runs_of({"base": 0.0, "better": 0.01, "same": 0.0, "worse": -0.01})
    better, same, worse = compare(values, "base")
    assert better.p_holm < 0.01
    assert "better is better than base" in better.sentence()
    assert "worse is worse than base" in worse.sentence()
    assert "No difference is shown between same and base" in same.sentence()
    assert stats.ttest_ind(list(values["better"].values()), list(values["base"].values())).pvalue > 0.5
    # the planted bug: seeds that are not matched
    shuffled = {**values, "better": dict(zip([1, 2, 3, 4, 0], values["better"].values(), strict=True))}
    assert compare(shuffled, "base")[0].p_holm > 0.05


def test_of_errors_smaller_is_better():
    (one,) = compare(runs_of({"base": 0.0, "other": -0.02}), "base", larger_is_better=False)
    assert "other is better than base" in one.sentence()


def test_only_common_seeds_count_and_too_few_show_nothing():
    values = {"base": {0: 0.5, 1: 0.6, 2: 0.7}, "a": {1: 0.61, 2: 0.72, 3: 0.9}, "b": {2: 0.9}, "c": {8: 1.0}}
    a, b, c = compare(values, "base")
    assert a.pairs == 2
    assert a.difference == pytest.approx((0.01 + 0.02) / 2)
    assert "have 1 seed in common: nothing is shown" in b.sentence()
    assert "have no seeds in common" in c.sentence()


def write_predictions(folder, targets, said, rows=None):
    (folder / "predictions").mkdir(parents=True)
    rows = list(range(len(targets))) if rows is None else rows
    frame = pd.DataFrame({"row": rows, "mood/target": targets, "mood/prediction": said})
    frame.to_parquet(folder / "predictions" / "test.parquet")
    return folder


def test_single_runs_are_compared_sample_by_sample(tmp_path):
    truth = ["a"] * 40
    one = write_predictions(tmp_path / "one", truth, ["a"] * 38 + ["b"] * 2)
    other = write_predictions(tmp_path / "other", truth[::-1], ["b"] * 10 + ["a"] * 30, list(range(40))[::-1])
    said = compare_samples(one, other, "test", "mood", ("concat", "mean"))
    # row 39 and 38: wrong for both; rows 30 to 37: only the first is right
    assert "only concat is right on 8, only mean on 0" in said
    assert f"p = {2 / 2**8:.2g}" in said
    assert "+0.2000" in said


def test_missing_labels_sets_and_numbers(tmp_path):
    run = write_predictions(tmp_path / "sets", [["a", "b"], None, ["c"]], [["b", "a"], ["a"], []])
    assert per_sample(run, "test", "mood").to_dict("list") == {"row": [0, 2], "score": [1.0, 0.0]}
    run = write_predictions(tmp_path / "numbers", [1.0, 2.0, float("nan")], [1.5, 1.0, 0.0])
    assert per_sample(run, "test", "mood").to_dict("list") == {"row": [0, 1], "score": [-0.5, -1.0]}
    run = write_predictions(
        tmp_path / "texts", ['["a fox", "the fox"]', "[a fox", "a fox"], ["the fox", "[a fox", "fox"]
    )
    assert per_sample(run, "test", "mood")["score"].tolist() == [1.0, 1.0, 0.0], "one of several references is enough"
    with pytest.raises(DataError, match="no predictions of 'joy'"):
        per_sample(run, "test", "joy")
    with pytest.raises(DataError, match="there is no such file"):
        per_sample(run, "val", "mood")


def test_texts_that_a_run_did_not_write_are_not_compared(tmp_path):
    run = write_predictions(tmp_path / "a", ["[email]", "x"], ["[email]", "y"])
    assert len(per_sample(run, "test", "mood")) == 2
    (run / "config.yaml").write_text("privacy: {mask: [phone]}\n")
    assert len(per_sample(run, "test", "mood")) == 2, "nothing in it is masked"
    (run / "config.yaml").write_text("privacy: {mask: [email]}\n")
    with pytest.raises(DataError, match="texts of 'mood' are masked in it"):
        per_sample(run, "test", "mood")
    withheld = write_predictions(tmp_path / "b", [None, None], [None, None])
    (withheld / "config.yaml").write_text("privacy: {samples: false}\n")
    with pytest.raises(DataError, match=r"the texts of 'mood' were left out of it \(privacy.samples=false\)"):
        per_sample(withheld, "test", "mood")
