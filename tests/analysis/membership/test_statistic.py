"""The statistic against log(p / (1 - p)) in NumPy."""

import numpy as np
import pytest
import torch

from mmbert.analysis.membership.statistic import (
    answered_right,
    logit_of_class,
    logit_of_set,
    membership_statistic,
    why_not_attacked,
)
from mmbert.core.types import UNLABELLED
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.ordinal import Ordinal
from mmbert.tasks.regression import Regression
from mmbert.tasks.retrieval import Retrieval


def test_classes_have_the_logit_of_the_label_s_probability():
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.5, 0.5]], dtype=torch.float64)
    label = torch.tensor([1, 2])
    p = (np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))[[0, 1], [1, 2]]
    assert logit_of_class(logits, label).numpy() == pytest.approx(np.log(p / (1 - p)))
    sure = torch.tensor([[200.0, 0.0]], dtype=torch.float64)  # where p rounds to 1
    assert logit_of_class(sure, torch.tensor([0])).item() == 200.0


def test_properties_have_that_of_the_whole_set():
    logits = torch.tensor([[1.0, -2.0, 0.3]], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy()[0]))
    whole = p[0] * (1 - p[1]) * p[2]
    found = logit_of_set(logits, torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64))
    assert found.item() == pytest.approx(np.log(whole / (1 - whole)))
    some = logit_of_set(logits, torch.tensor([[1.0, torch.nan, torch.nan]], dtype=torch.float64))
    assert some.item() == pytest.approx(1.0)
    assert logit_of_set(torch.full((1, 2), 900.0, dtype=torch.float64), torch.ones(1, 2)).isfinite()


def test_tasks_and_missing_labels():
    task = Classification(4, "c", ["a", "b"])
    outputs = {"logits": torch.tensor([[2.0, -1.0], [0.0, 1.0], [5.0, 5.0]])}
    targets = {"label": torch.tensor([0, 0, UNLABELLED])}
    found = membership_statistic(task, outputs, targets)
    assert found[:2].tolist() == [3.0, -1.0] and found[2].isnan() and found.dtype == torch.float64
    right = answered_right(task, outputs, targets)
    assert right[:2].tolist() == [1.0, 0.0] and right[2].isnan()
    number = Regression(4, "n", mean=0.0, std=1.0)
    value = {"value": torch.tensor([3.0, 4.0])}
    found = membership_statistic(number, value, {"label": torch.tensor([1.0, torch.nan])})
    assert found[0] == 3.0 and found[1].isnan()
    assert answered_right(number, value, {"label": torch.tensor([1.0, torch.nan])}).isnan().all()


def test_which_tasks_can_be_attacked():
    for task in (Classification(4, "c", ["a", "b"]), Ordinal(4, "o", ["1", "2", "3"]), Multilabel(4, "m", ["x", "y"])):
        assert why_not_attacked(task) is None
    assert "kind 'retrieval' has no probability of one label" in why_not_attacked(Retrieval(4, {"text": 4, "image": 4}))
