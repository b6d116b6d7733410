"""Weighted means of several heads' outputs by hand, one kind of output at a time."""

import math

import pytest
import torch
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.fusion.layers.averages import checked_average, even, weighted

#: a quarter of the first view, three quarters of the second; the third is absent and holds what nobody may read
LOGS = torch.tensor([[math.log(0.25), math.log(0.75), -math.inf]])
NAN = math.nan


def logits(*probabilities):
    return [math.log(p / (1 - p)) for p in probabilities]


def test_weights_are_even_over_what_is_present():
    present = torch.tensor([[True, True, True], [False, True, True], [True, False, False]])
    expected = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5], [1, 0, 0]])
    assert_close(even(present, torch.float32).exp(), expected)


@pytest.mark.parametrize(
    ("kind", "probabilities"), [("regression", True), ("regression", False), ("classification", False)]
)
def test_numbers_and_logits_are_averaged_as_they_are(kind, probabilities):
    outputs = torch.tensor([[[4.0, 0.0], [8.0, 2.0], [NAN, NAN]]])
    assert_close(weighted(outputs, LOGS, kind, probabilities), torch.tensor([[7.0, 1.5]]))


def test_probabilities_of_classes_are_averaged():
    outputs = torch.tensor([[[0.8, 0.2], [0.4, 0.6], [0.5, 0.5]]]).log() + 3.0  # a softmax does not see the 3
    assert_close(weighted(outputs, LOGS, "classification", True).exp(), torch.tensor([[0.5, 0.5]]))  # 0.8/4 + 0.4·3/4


def test_probabilities_of_labels_are_averaged_one_by_one():
    outputs = torch.tensor([[logits(0.8, 0.1), logits(0.4, 0.5), logits(0.9, 0.9)]])
    # 0.8/4 + 0.4·3/4 = 0.5 and 0.1/4 + 0.5·3/4 = 0.4
    assert_close(weighted(outputs, LOGS, "multilabel", True).sigmoid(), torch.tensor([[0.5, 0.4]]))


def test_another_word_is_refused_with_the_nearest():
    assert checked_average("probabilities") is True and checked_average("logits") is False
    with pytest.raises(ConfigError, match="fusion.average=logit is unknown. Did you mean 'logits'"):
        checked_average("logit")
