"""Fixed weights of task losses: their weighted sum, and weights that make no sense."""

from types import SimpleNamespace

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.training.balance.base import fixed_weights
from mmbert.training.balance.fixed import FixedBalance

COVERS = ("base",)


def tasks(**weights):
    return {name: SimpleNamespace(weight=weight) for name, weight in weights.items()}


def test_the_total_is_the_weighted_sum():
    balance = FixedBalance(tasks(answer=2.0, value=0.5))
    total, logs = balance({"answer": torch.tensor(3.0), "value": torch.tensor(8.0)}, {"answer": 4, "value": 4})
    assert total == 10.0 and logs == {}  # 2 · 3 + 0.5 · 8


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_makes_no_sense_is_refused(weight):
    with pytest.raises(ConfigError, match="tasks.value.weight=.* must be finite and not negative"):
        fixed_weights(tasks(answer=1.0, value=weight))


def test_nothing_to_learn_is_refused():
    assert fixed_weights(tasks(answer=0.0, value=1.0)) == {"answer": 0.0, "value": 1.0}
    with pytest.raises(ConfigError, match=r"Every task has weight 0 \(answer, value\)"):
        FixedBalance(tasks(answer=0.0, value=0.0))
