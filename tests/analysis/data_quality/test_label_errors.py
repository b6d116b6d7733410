"""Confident learning: cleanlab's numbers by hand, and planted label noise."""

import builtins

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmbert.analysis.data_quality.label_errors import find_label_errors
from mmbert.core.errors import ConfigError


def confident_joint(labels, p):
    """Northcutt et al. 2021, equation 1: a row counts for the most probable class that reaches its own mean."""
    threshold = np.array([p[labels == c, c].mean() for c in range(p.shape[1])])
    joint = np.zeros((p.shape[1], p.shape[1]), int)
    for label, row in zip(labels, p, strict=True):
        above = np.flatnonzero(row >= threshold)
        if len(above):
            joint[label, above[row[above].argmax()]] += 1
    return joint


def noisy(seed=0, count=600, classes=4, share=0.1):
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=count)
    logits = 3.0 * np.eye(classes)[truth] + random.standard_normal((count, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = random.random(count) < share
    labels = np.where(wrong, (truth + random.integers(1, classes, count)) % classes, truth)
    return labels, p, wrong


def test_the_number_of_errors_is_the_confident_joint_off_its_diagonal():
    labels, p, wrong = noisy()
    found = find_label_errors("classification", labels, p, np.ones(len(labels), bool))
    joint = confident_joint(labels, p)
    scaled = joint / joint.sum(1, keepdims=True) * np.bincount(labels)[:, None]
    assert abs(found.estimate - (scaled.sum() - np.trace(scaled))) <= 2  # cleanlab rounds each entry
    assert abs(found.estimate - wrong.sum()) < 0.4 * wrong.sum()


def test_quality_is_the_normalised_margin():
    labels, p, wrong = noisy()
    found = find_label_errors("classification", labels, p, np.ones(len(labels), bool))
    given = p[np.arange(len(labels)), labels]
    others = np.where(np.eye(4, dtype=bool)[labels], -1, p).max(1)
    np.testing.assert_allclose(found.quality, (given - others + 1) / 2)
    assert roc_auc_score(wrong, -found.quality) > 0.95
    assert wrong[found.flagged].mean() > 0.7 and found.flagged[wrong].mean() > 0.6


def test_rows_that_are_not_judged_have_no_score_and_change_nothing():
    labels, p, _ = noisy()
    whole = find_label_errors("classification", labels, p, np.ones(len(labels), bool))
    more, rubbish = np.append(labels, -1), np.vstack([p, np.full(4, np.nan)])
    found = find_label_errors("classification", more, rubbish, np.append(np.ones(len(labels), bool), False))
    assert np.isnan(found.quality[-1]) and not found.flagged[-1] and found.estimate == whole.estimate
    np.testing.assert_array_equal(found.quality[:-1], whole.quality)


def test_classes_that_no_judged_row_has():
    labels, p, _ = noisy()
    scored = labels != 2
    found = find_label_errors("classification", labels, p, scored)
    assert (np.isnan(found.quality) == ~scored).all()
    assert find_label_errors("classification", labels, p, np.zeros(len(labels), bool)).estimate is None


def test_properties_and_numbers():
    random = np.random.default_rng(0)
    truth = (random.random((400, 3)) < 0.4).astype(float)
    p = np.clip(truth * 0.8 + 0.1 + 0.05 * random.standard_normal(truth.shape), 0.01, 0.99)
    wrong = np.arange(400) < 30
    labels = truth.copy()
    labels[wrong, 0] = 1 - labels[wrong, 0]
    found = find_label_errors("multilabel", labels, p, np.ones(400, bool))
    assert roc_auc_score(wrong, -found.quality) > 0.95 and found.flagged[wrong].mean() > 0.8
    value = random.standard_normal(400) * 5
    given = value + np.where(wrong, 12.0, 0.0)
    found = find_label_errors("regression", given, value + 0.3 * random.standard_normal(400), np.ones(400, bool))
    assert roc_auc_score(wrong, -found.quality) > 0.95 and found.estimate is None


def test_without_cleanlab_the_remedy_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("cleanlab"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install mmbert\[quality\]"):
        find_label_errors("classification", *noisy()[:2], np.ones(600, bool))
