"""LiRA's scores against scipy, sample by sample, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmbert.analysis.membership.halves import random_halves
from mmbert.analysis.membership.lira import (
    chosen_variance,
    fitted_gaussians,
    leave_one_out_scores,
    offline_scores,
    online_scores,
)


def drawn(models=12, samples=30, seed=0, gap=1.0):
    """Statistics whose mean and spread differ from sample to sample; members lie ``gap`` higher."""
    rng = np.random.default_rng(seed)
    member = random_halves(models, samples, seed + 1)
    mean, spread = rng.normal(0, 5, samples), rng.uniform(0.5, 2, samples)
    return mean + spread * rng.normal(size=(models, samples)) + gap * member, member


@pytest.mark.parametrize("variance", ["global", "sample"])
def test_scores_are_those_of_scipy_sample_by_sample(variance):
    statistics, member = drawn()
    found = leave_one_out_scores(statistics, member, variance)
    for target in range(len(statistics)):
        refs = [k for k in range(len(statistics)) if k != target]
        sides = {}
        for inside in (True, False):
            groups = [[statistics[k, i] for k in refs if member[k, i] == inside] for i in range(statistics.shape[1])]
            squares = sum(sum((x - np.mean(group)) ** 2 for x in group) for group in groups)
            pooled = squares / sum(len(group) - 1 for group in groups)
            sides[inside] = [
                (np.mean(group), np.sqrt(pooled) if variance == "global" else np.std(group, ddof=1)) for group in groups
            ]
        for i in range(statistics.shape[1]):
            ratio = stats.norm.logpdf(statistics[target, i], *sides[True][i])
            ratio -= stats.norm.logpdf(statistics[target, i], *sides[False][i])
            assert found[target, i] == pytest.approx(ratio, rel=1e-9, abs=1e-9)


def test_the_global_variance_is_not_widened_by_means_that_differ():
    statistics = np.array([[0.0, 1000.0], [2.0, 1002.0], [4.0, 1004.0]])
    found = fitted_gaussians(statistics, np.ones((3, 2), bool), "global")
    assert found.variance == pytest.approx([4.0, 4.0]) and found.mean == pytest.approx([2.0, 1002.0])


def test_the_offline_score_is_in_the_order_of_the_paper_s():
    statistics, member = drawn(gap=0.5)
    target, others, inside = statistics[0], statistics[1:], member[1:]
    z = offline_scores(target, others, inside, "sample")
    for i in range(len(target)):
        group = others[~inside[:, i], i]
        assert stats.norm.cdf(z[i]) == pytest.approx(stats.norm.cdf(target[i], group.mean(), group.std(ddof=1)))


def test_members_score_higher_and_exchanged_sides_turn_the_sign():
    statistics, member = drawn(64, 200, gap=3.0)
    scores = leave_one_out_scores(statistics, member)
    assert scores[member].mean() > 1 > -1 > scores[~member].mean()
    turned = online_scores(statistics[0], statistics[1:], ~member[1:], "global")
    assert turned == pytest.approx(-scores[0])


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50), scale=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_units_and_other_targets_do_not_matter(seed, shift, scale):
    statistics, member = drawn(8, 12, seed)
    scores = leave_one_out_scores(statistics, member, "sample")
    assert leave_one_out_scores(scale * statistics + shift, member, "sample") == pytest.approx(
        scores, rel=1e-5, abs=1e-5
    )
    # of its own row a target decides its score alone, never the references of that score
    changed = statistics.copy()
    changed[0, 0] += 3
    others = np.delete(leave_one_out_scores(changed, member, "sample")[0], 0)
    assert others == pytest.approx(np.delete(scores[0], 0))


def test_models_that_agree_to_the_last_digit_give_finite_scores():
    statistics = np.ones((8, 3))
    assert np.isfinite(leave_one_out_scores(statistics, random_halves(8, 3, 0), "sample")).all()


def test_few_models_share_a_variance():
    assert chosen_variance(63) == "global" and chosen_variance(64) == "sample"
    with pytest.raises(ValueError, match="two models"):
        fitted_gaussians(np.zeros((2, 3)), np.array([[1, 1, 1], [0, 0, 1]], bool), "sample")


@pytest.mark.parametrize(("models", "low", "high"), [(6, 0.44, 0.48), (16, 0.475, 0.495), (64, 0.495, 0.508)])
def test_few_models_let_nothing_look_like_less_than_chance(models, low, high):
    """Statistics that know nothing of membership: the AUC of many models is 0.5, that of few lies below, as is said."""
    aucs = []
    for seed in range(6):
        draws = np.random.default_rng(seed)
        member = random_halves(models, 700, seed)
        statistics = draws.normal(size=(models, 700)) + 3 * draws.normal(size=700)
        scores = leave_one_out_scores(statistics, member, "global")
        ranks = stats.rankdata(scores).reshape(scores.shape)
        count = member.sum()
        aucs.append((ranks[member].sum() - count * (count + 1) / 2) / (count * (member.size - count)))
    assert low < np.mean(aucs) < high
