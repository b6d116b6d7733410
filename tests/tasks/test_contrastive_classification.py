"""Contrastive classification: its loss against pairs enumerated with NumPy, its head against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import tensor

from mmbert.core.types import UNLABELLED, Fused, State
from mmbert.tasks.contrastive_classification import ContrastiveClassification
from mmbert.testing import check_task


def make(classes=("a", "b", "c"), **options):
    torch.manual_seed(0)
    return ContrastiveClassification(4, "label", list(classes), **options)


def of(vectors):
    return State(Fused(vectors), {})


def test_it_keeps_the_contract():
    check_task(ContrastiveClassification)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([UNLABELLED, 0, 1, 2]), min_size=1, max_size=8), st.integers(0, 99))
def test_the_loss_is_the_mean_over_pairs_drawn_as_often_of_one_class_as_of_two(labels, seed):
    task = make()
    x = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    loss = task.loss(task(of(x)), {"label": tensor(labels)})
    kinds = {True: [], False: []}
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            if i != j and UNLABELLED not in (a, b):
                u, v = x[i].double().numpy(), x[j].double().numpy()
                cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                kinds[a == b].append((cosine - (a == b)) ** 2)
    means = [np.mean(lost) for lost in kinds.values() if lost]
    np.testing.assert_allclose(float(loss.mean), np.mean(means) if means else 0, atol=1e-6)
    assert int(loss.count) == sum(label != UNLABELLED for label in labels)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_head_is_scikit_learns_logistic_regression_of_centred_and_scaled_vectors(size, balanced):
    task = make("abc"[:size], inverse_regularization=0.5, balanced_head=balanced)
    draw = np.random.default_rng(0)
    label = np.array([*range(size), *draw.integers(0, size, 20)])
    x = draw.normal(size=(len(label), 4)) * 7 + 3 + label[:, None]
    vectors = tensor(np.vstack([x, x[:1] * 100])).float()  # the last one has no label
    task.fit_head({"vectors": vectors}, {"label": tensor([*label, UNLABELLED])})
    scaled = (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean())
    expected = LogisticRegression(C=0.5, class_weight="balanced" if balanced else None, max_iter=1000)
    expected = expected.fit(scaled, label).predict_proba(scaled)
    found = task(of(tensor(x).float()))["logits"].softmax(-1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_a_class_that_no_training_sample_has_is_never_answered():
    task = make()
    task.fit_head({"vectors": torch.randn(6, 4)}, {"label": tensor([0, 2, 0, 2, 0, 2])})
    assert 1 not in task(of(torch.randn(50, 4) * 3))["logits"].argmax(1)


def test_one_class_alone_leaves_the_head_as_it_is():
    task = make()
    task.fit_head({"vectors": torch.randn(2, 4)}, {"label": tensor([1, 1])})
    assert not task.head.weight.any()


def test_no_gradient_of_the_head_reaches_the_vectors():
    x = torch.randn(3, 4, requires_grad=True)
    assert not make()(of(x))["logits"].requires_grad
