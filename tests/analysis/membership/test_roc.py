"""Rates at small false positive rates against scikit-learn, and what intervals must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from mmbert.analysis.membership.halves import random_halves
from mmbert.analysis.membership.lira import leave_one_out_scores
from mmbert.analysis.membership.roc import SortedScores, attack_measures, unresolvable


@given(seed=st.integers(0, 10_000), digits=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_the_curve_is_scikit_learn_s_also_with_ties(seed, digits):
    rng = np.random.default_rng(seed)
    member = random_halves(4, 40, seed)
    scores = (rng.normal(size=(4, 40)) + member).round(digits)
    kept = SortedScores(scores, member)
    fpr, tpr, _ = roc_curve(member.ravel(), scores.ravel(), drop_intermediate=False)
    roc = kept.roc()
    assert roc.auc == pytest.approx(roc_auc_score(member.ravel(), scores.ravel()))
    for level in (0.0, 0.01, 0.05, 0.2):
        assert roc.tpr_at(level) == pytest.approx(tpr[fpr <= level].max())
    answers = [scores >= limit for limit in [np.inf, *np.unique(scores)]]
    best = max((answer[member].mean() + (~answer)[~member].mean()) / 2 for answer in answers)
    assert roc.balanced_accuracy == pytest.approx(best)


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    member, scores = random_halves(6, 20, 0), rng.normal(size=(6, 20))
    models, samples = rng.integers(0, 3, 6), rng.integers(0, 3, 20)
    weighted = SortedScores(scores, member).roc(models, samples).measures()
    repeated = np.ix_(np.repeat(np.arange(6), models), np.repeat(np.arange(20), samples))
    assert weighted == pytest.approx(SortedScores(scores[repeated], member[repeated]).roc().measures())


def test_a_perfect_attack_and_one_that_is_turned_round():
    member = random_halves(8, 1000, 0)
    scores = member.astype(float)
    assert SortedScores(scores, member).roc().measures() == pytest.approx(
        {"tpr_at_fpr_0.001": 1, "tpr_at_fpr_0.01": 1, "auc": 1, "balanced_accuracy": 1}
    )
    turned = SortedScores(scores, ~member).roc()
    assert turned.auc == 0 and turned.tpr_at(0.01) == 0


def test_of_what_was_never_seen_the_attack_is_at_chance():
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        statistics = rng.normal(0, 3, 300) + rng.normal(size=(32, 300))
        member = random_halves(32, 300, seed)
        found = attack_measures(leave_one_out_scores(statistics, member), member, 200, 0)
        inside += found["auc"]["low"] <= 0.5 <= found["auc"]["high"]
        assert found["auc"]["value"] == pytest.approx(0.5, abs=0.03)
        assert found["tpr_at_fpr_0.01"]["value"] == pytest.approx(0.01, abs=0.01)
        assert found["tpr_at_fpr_0.001"]["value"] == pytest.approx(0.001, abs=0.004)
    assert inside >= 8


def test_intervals_hold_what_other_draws_give():
    """The AUC of N(1, 1) against N(0, 1) is Φ(1 / √2)."""
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        member = random_halves(10, 100, seed)
        found = attack_measures(rng.normal(size=(10, 100)) + member, member, 200, 0)["auc"]
        inside += found["low"] <= 0.7602 <= found["high"]
        assert found["high"] - found["low"] < 0.15
    assert inside >= 18


def test_rates_that_cannot_be_shown_say_why():
    assert unresolvable(0.001, 1000) is None and unresolvable(0.01, 100) is None
    assert "0.1 % of 999 non-members is less than one: at least 1,000" in unresolvable(0.001, 999)
    member = random_halves(4, 100, 0)
    found = attack_measures(np.random.default_rng(0).normal(size=(4, 100)), member, 0, 0)
    assert found["tpr_at_fpr_0.001"]["value"] is None and "200 non-members" in found["tpr_at_fpr_0.001"]["why"]
    assert found["tpr_at_fpr_0.01"]["value"] is not None and found["auc"]["low"] is None


def test_seeds_reproduce():
    member = random_halves(6, 50, 0)
    scores = np.random.default_rng(0).normal(size=(6, 50))
    assert (
        attack_measures(scores, member, 50, 3)
        == attack_measures(scores, member, 50, 3)
        != attack_measures(scores, member, 50, 4)
    )
