"""Contradiction scores: by hand, against scikit-learn, and planted mismatches that they must find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mmbert.analysis.data_quality.contradictions import (
    auroc,
    head_contradictions,
    jensen_shannon,
    log_likelihood_ratio,
    partner_scores,
    vector_contradictions,
)
from mmbert.analysis.data_quality.planted import planted_auroc, planted_swap

COVERS = ("planted",)
PRIORS = np.array([[0.5, 0.3, 0.2]])


def answered(*rows):
    """(N, M, 1, 3)."""
    return np.array(rows, float)[:, :, None, :]


def test_the_likelihood_ratio_by_hand():
    p = answered([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
    found = log_likelihood_ratio(p, np.ones((2, 2), bool), PRIORS)
    # 0.7 · 0.1 / 0.5 + 0.2 · 0.1 / 0.3 + 0.1 · 0.8 / 0.2 = 0.14 + 0.0667 + 0.4;   a head that knows nothing: 1
    np.testing.assert_allclose(np.exp(found), [0.14 + 0.02 / 0.3 + 0.4, 1.0])


def test_of_three_modalities_the_odd_one_is_named():
    p = answered([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9], [0.9, 0.05, 0.05]])
    scores, odd = head_contradictions(p, np.ones((1, 3), bool), PRIORS)
    all_three = 0.9 * 0.05 * 0.9 / 0.25 + 0.05**3 / 0.09 + 0.05 * 0.9 * 0.05 / 0.04
    others = 0.81 / 0.5 + 0.05**2 / 0.3 + 0.05**2 / 0.2
    assert odd.tolist() == [1]
    np.testing.assert_allclose(scores, [np.log(others / all_three)])


def test_a_head_that_knows_nothing_contradicts_nobody():
    sure = answered([[0.98, 0.01, 0.01], PRIORS[0]])
    assert abs(head_contradictions(sure, np.ones((1, 2), bool), PRIORS)[0][0]) < 1e-12
    assert jensen_shannon(sure, np.ones((1, 2), bool))[0] > 0.1  # a divergence takes it for one


@given(st.integers(0, 2**31 - 1), st.integers(2, 4))
@settings(deadline=None, max_examples=25)
def test_what_an_absent_modality_holds_is_not_read(seed, modalities):
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(3), (6, modalities, 1))
    present = random.random((6, modalities)) < 0.6
    changed = np.where(present[:, :, None, None], p, np.nan)
    for one, other in zip(
        head_contradictions(p, present, PRIORS), head_contradictions(changed, present, PRIORS), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    scores, odd = head_contradictions(p, present, PRIORS)
    assert (np.isnan(scores) == (present.sum(1) < 2)).all() and ((odd < 0) == np.isnan(scores)).all()
    assert all(present[i, m] for i, m in enumerate(odd) if m >= 0)


@given(st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=25)
def test_auroc_is_that_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    scores, positive = random.integers(0, 5, 40).astype(float), np.arange(40) % 3 == 0
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert auroc(np.append(scores, np.nan), np.append(positive, True)) == auroc(scores, positive)
    assert auroc(scores, np.zeros(40, bool)) is None


def test_partner_scores_by_hand():
    one, other = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 1, 1]]
    cosines = one @ other.T  # rows 0 and 1 find their partner, row 2 does not: its cosine is 0 among (0, 1)
    expected = np.zeros(3)
    for row in range(3):
        for values in (cosines[row], cosines[:, row]):
            others = np.delete(values, row)
            expected[row] += (values[row] - others.mean()) / max(others.std(), 1e-6) / 2
    np.testing.assert_allclose(partner_scores(one, other), expected)


def test_partner_scores_are_those_of_the_table_of_all_pairs():
    random = np.random.default_rng(1)
    one, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in random.standard_normal((2, 50, 16)))
    cosines, off = one @ other.T, ~np.eye(50, dtype=bool)
    expected = [
        sum((line[i] - line[off[i]].mean()) / line[off[i]].std() for line in (cosines[i], cosines[:, i])) / 2
        for i in range(50)
    ]
    np.testing.assert_allclose(partner_scores(one, other), expected, rtol=1e-9)


def test_a_split_of_many_rows_needs_no_table_of_pairs():
    """100,000 rows: their table of pairs would be 80 GB."""
    vectors = np.zeros((100_000, 4), np.float32)
    vectors[np.arange(100_000), np.arange(100_000) % 4] = 1
    swapped = vectors.copy()
    swapped[0] = vectors[1]
    assert partner_scores(vectors, swapped).argmin() == 0


def test_swapped_vectors_score_highest():
    random = np.random.default_rng(0)
    shared = random.standard_normal((60, 8))
    vectors = np.stack([shared + 0.3 * random.standard_normal((60, 8)) for _ in range(3)], 1)
    vectors[[3, 7], 2] = vectors[[7, 3], 2]
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    scores, odd = vector_contradictions(vectors, np.ones((60, 3), bool))
    assert set(np.argsort(-scores)[:2]) == {3, 7} and odd[[3, 7]].tolist() == [2, 2]


@pytest.mark.parametrize("partners", ["other class", "same class", "any"])
def test_planted_rows_get_another_rows_modality_of_their_fold(partners):
    classes, fold = np.arange(200) % 4, np.arange(200) // 50
    changed, givers = planted_swap(np.arange(200), fold, classes, partners, seed=1)
    assert len(changed) == len(set(changed)) == 20
    assert (changed != givers).all() and (fold[changed] == fold[givers]).all()
    if partners != "any":
        assert ((classes[changed] == classes[givers]) == (partners == "same class")).all()


def test_mismatches_of_another_class_are_found_and_those_of_the_same_are_not():
    random, classes, fold = np.random.default_rng(0), np.arange(400) % 3, np.arange(400) % 2
    p = np.full((400, 2, 1, 3), 0.05)
    p[np.arange(400), :, 0, classes] = 0.9
    p *= random.uniform(0.8, 1.2, p.shape)
    p /= p.sum(-1, keepdims=True)
    present = np.ones((400, 2), bool)

    def score(given):
        return head_contradictions(given, present, PRIORS)[0]

    found, count = planted_auroc(p, present, fold, classes, "other class", 1, score, seed=0)
    same, _ = planted_auroc(p, present, fold, classes, "same class", 1, score, seed=0)
    assert count == 40 and found == 1.0 and 0.35 < same < 0.65
