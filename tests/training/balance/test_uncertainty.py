"""Balancing against the formulas done by hand and their analytic optimum."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.balance.uncertainty import UncertaintyBalance


def tasks(**weights):
    weights = {"answer": 1.0, "value": 1.0, **weights}
    return {
        "answer": Classification(2, "answer", ["a", "b"], weight=weights["answer"]),
        "value": Regression(2, "value", weight=weights["value"]),
    }


def test_fixed_is_the_weighted_sum():
    total, logs = FixedBalance(tasks(value=0.25))(
        {"answer": tensor(3.0), "value": tensor(2.0)}, {"answer": 4, "value": 4}
    )
    assert total.item() == 3.5 and logs == {}


def test_fixed_keeps_the_graph_of_a_task_without_labels():
    silent = tensor(0.0, requires_grad=True)
    total, _ = FixedBalance(tasks())({"answer": tensor(1.0), "value": silent}, {"answer": 2, "value": 0})
    total.backward()
    assert silent.grad is not None


@pytest.mark.parametrize("balance", [FixedBalance, UncertaintyBalance])
@pytest.mark.parametrize(
    ("weights", "message"),
    [({"value": -1.0}, "tasks.value.weight=-1.0 must be"), ({"answer": 0, "value": 0}, "Every task has weight 0")],
)
def test_weights_that_are_refused(balance, weights, message):
    with pytest.raises(ConfigError, match=message):
        balance(tasks(**weights))


def test_uncertainty_by_hand():
    balance = UncertaintyBalance(tasks())
    with torch.no_grad():
        balance.log_variances["answer"].fill_(0.5)
        balance.log_variances["value"].fill_(-1.0)
    total, logs = balance({"answer": tensor(2.0), "value": tensor(3.0)}, {"answer": 4, "value": True})
    # cross-entropy: exp(-0.5) * 2 + 0.5 / 2 = 1.213061 + 0.25;  squared error: exp(1) * 3 / 2 - 1 / 2 = 4.077423 - 0.5
    assert_close(total, tensor(1.463061 + 3.577423), atol=1e-5, rtol=0)
    assert_close(logs, {"answer/weight": tensor(math.exp(-0.5)), "value/weight": tensor(math.exp(1) / 2)})


@pytest.mark.parametrize(
    ("loss_name", "optimum"),
    [("mse", math.log(0.7)), ("huber", math.log(2 * 0.7)), ("l1", math.log(0.7)), (None, math.log(2 * 0.7))],
)
def test_the_learnt_variance_goes_where_the_likelihood_is_greatest(loss_name, optimum):
    task = Classification(2, "x", ["a", "b"]) if loss_name is None else Regression(2, "x", loss=loss_name)
    balance = UncertaintyBalance({"only": task})
    optimizer = torch.optim.LBFGS(
        balance.parameters(), max_iter=100, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        total, _ = balance({"only": tensor(0.7)}, {"only": 1})
        total.backward()
        return total

    optimizer.step(closure)
    assert balance.log_variances["only"].item() == pytest.approx(optimum, abs=1e-3)


def test_gaussian_and_laplace_terms_are_the_likelihoods_that_torch_knows():
    errors = tensor([0.3, -1.2, 2.0])
    variance = tensor(1.7)
    for loss_name, loss, noise, constant in [
        ("mse", errors.square().mean(), torch.distributions.Normal(0, variance.sqrt()), 0.5 * math.log(2 * math.pi)),
        ("l1", errors.abs().mean(), torch.distributions.Laplace(0, variance), math.log(2)),
    ]:
        balance = UncertaintyBalance({"only": Regression(2, "x", loss=loss_name)})
        with torch.no_grad():
            balance.log_variances["only"].copy_(variance.log())
        total, _ = balance({"only": loss}, {"only": 3})
        assert_close(total, -noise.log_prob(errors).mean() - constant)


def test_a_task_without_labels_gives_neither_loss_nor_gradient():
    balance = UncertaintyBalance(tasks())
    with torch.no_grad():
        balance.log_variances["value"].fill_(2.0)
    total, _ = balance({"answer": tensor(1.0), "value": tensor(0.0)}, {"answer": 3, "value": 0})
    total.backward()
    assert total.item() == 1.0
    # a gradient of zeros, not none: distributed training waits for each parameter
    assert balance.log_variances["value"].grad.item() == 0
    assert balance.log_variances["answer"].grad.item() == -0.5  # -exp(0) * 1 + 1/2


def test_an_own_weight_scales_the_whole_term_and_leaves_the_optimum():
    plain, scaled = UncertaintyBalance(tasks()), UncertaintyBalance(tasks(value=3.0))
    losses = {"answer": tensor(0.0), "value": tensor(2.0)}
    assert scaled(losses, {"answer": 0, "value": 1})[0] == 3 * plain(losses, {"answer": 0, "value": 1})[0]


def test_variances_are_saved_by_task_name():
    assert list(UncertaintyBalance(tasks()).state_dict()) == ["log_variances.answer", "log_variances.value"]
    assert not list(FixedBalance(tasks()).parameters())
