"""Unimodal heads: calibrated, honest of classes that they never met."""

import numpy as np

from mmbert.analysis.data_quality.unimodal import fit_head


def drawn(seed, count, noise):
    random = np.random.default_rng(seed)
    labels = random.integers(3, size=count)
    return np.eye(3)[labels] * 2 + noise * random.standard_normal((count, 3)), labels


def test_probabilities_are_calibrated_although_train_is_separable():
    random = np.random.default_rng(3)
    x, y = drawn(0, 60, 1.5)
    x = np.hstack([x, random.standard_normal((60, 200))])  # 60 rows in 203 dimensions: train is memorised
    v, w = drawn(1, 300, 1.5)
    v = np.hstack([v, random.standard_normal((300, 200))])
    t, u = drawn(2, 2000, 1.5)
    t = np.hstack([t, random.standard_normal((2000, 200))])
    head = fit_head(x, y, v, w, 3)
    p = head.probabilities(t)
    assert head.temperature > 1.3
    np.testing.assert_allclose(p.sum(1), 1)
    assert abs(p.max(1).mean() - (p.argmax(1) == u).mean()) < 0.1


def test_classes_that_train_lacks_are_improbable_and_one_class_alone_is_certain():
    x, y = drawn(0, 90, 0.2)
    head = fit_head(x[y < 2], y[y < 2], x, y, 3)
    p = head.probabilities(x)
    assert (p > 0).all() and (p[:, 2] < 1e-3).all() and (p[y == 0].argmax(1) == 0).all()
    assert fit_head(x[y == 1], y[y == 1], x, y, 3).probabilities(x[:4]).argmax(1).tolist() == [1] * 4
