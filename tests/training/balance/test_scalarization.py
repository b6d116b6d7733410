"""Balances that make one number of the losses, against torchjd and by hand."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close
from torchjd import scalarization as torchjd

from mmbert.core.errors import TrainingError
from mmbert.tasks.regression import Regression
from mmbert.training.balance import scalarization as ours
from mmbert.training.balance.base import StepLosses, step_seed
from mmbert.training.balance.uncertainty import UncertaintyBalance
from three_tasks_model import gradients, module_of, part, samples, three_tasks

WEIGHTS = {"answer": 1.0, "value": 0.5, "other": 1.0}
SHARES = tensor(list(WEIGHTS.values())) / 2.5
THEIRS = [
    (ours.STCHBalance, lambda: torchjd.STCH(0.1, SHARES)),
    (ours.GeometricMeanBalance, torchjd.GeometricMean),
    (ours.PBIBalance, lambda: torchjd.PBI(1.0, SHARES)),
    (ours.COSMOSBalance, lambda: torchjd.COSMOS(1.0, SHARES)),
]


def losses(values):
    return dict(zip(WEIGHTS, torch.tensor(values).requires_grad_().unbind(), strict=True))


def step(given, counts=(4, 4, 4)):
    known = dict(zip(given, map(float, counts), strict=True))
    return StepLosses(given, known, given, known)


@pytest.mark.parametrize(("cls", "reference"), THEIRS, ids=lambda one: getattr(one, "__name__", ""))
def test_value_and_gradient_are_torchjds(cls, reference):
    values = tensor([0.7, 2.0, 0.3], requires_grad=True)
    expected = reference()(values)
    (gradient,) = torch.autograd.grad(expected, values)
    given = {name: value.detach().requires_grad_() for name, value in zip(WEIGHTS, values, strict=True)}
    balance = cls(three_tasks())
    assert_close(balance(given, dict.fromkeys(given, 1.0))[0], expected)
    total, logs = balance.step_loss(step(given))
    total.backward()
    assert_close(torch.stack([one.grad for one in given.values()]), gradient)
    assert_close([logs[f"{name}/weight"] for name in given], list(gradient.unbind()))


@pytest.mark.parametrize("cls", [cls for cls, _ in THEIRS] + [ours.RandomBalance])
def test_a_task_without_a_label_has_no_part(cls):
    both, alone = cls(three_tasks()), cls({n: t for n, t in three_tasks().items() if n != "value"})
    given = losses([0.7, 0.0, 0.3])
    total, logs = both.step_loss(step(given, (4, 0, 4)))
    rest = {name: loss for name, loss in given.items() if name != "value"}
    expected, weights = alone.step_loss(step(rest, (4, 4)))
    assert_close(total, expected)
    assert logs["value/weight"] == 0 and all(logs[key] == value for key, value in weights.items())
    nothing, _ = both.step_loss(step(losses([0.0, 0.0, 0.0]), (0, 0, 0)))
    nothing.backward()  # a graph, and no number that is none
    assert nothing == 0
    assert cls(three_tasks())(losses([0.0, 0.0, 0.0]), dict.fromkeys(WEIGHTS, 0.0))[0] == 0


def test_a_smooth_maximum_listens_to_the_worst_task():
    given = losses([3.0, 0.1, 0.2])
    _, logs = ours.STCHBalance(three_tasks(), mu=0.01).step_loss(step(given))
    assert_close(logs["answer/weight"], tensor(0.4))  # its share of the weights: 1 / 2.5
    assert logs["value/weight"] < 1e-6


def test_the_geometric_mean_by_hand_and_its_refusal():
    # (2 · 4 · 1)^(1/3) = 2, derivative S / (3 L)
    given = losses([2.0, 4.0, 1.0])
    total, logs = ours.GeometricMeanBalance(three_tasks()).step_loss(step(given))
    assert_close(torch.stack(list(logs.values())), tensor([1 / 3, 1 / 6, 2 / 3]))
    assert_close(ours.GeometricMeanBalance(three_tasks())(given, dict.fromkeys(given, 1.0))[0], tensor(2.0))
    perfect = losses([2.0, 0.0, 1.0])
    value, _ = ours.GeometricMeanBalance(three_tasks()).step_loss(step(perfect))
    assert bool(value.isfinite())
    with pytest.raises(TrainingError, match="balance=geometric_mean takes the logarithm .* 'value' is -4, below 0"):
        ours.GeometricMeanBalance(three_tasks()).step_loss(step(losses([2.0, -4.0, 1.0])))


def test_random_weights_are_torchjds_of_the_steps_seed():
    values, balance = [0.7, 2.0, 0.3], ours.RandomBalance(three_tasks(), seed=4)
    before = torch.get_rng_state()
    drawn = [balance.step_loss(step(losses(values)))[1] for _ in range(3)]
    assert bool((torch.get_rng_state() == before).all())
    torch.manual_seed(step_seed(4, 1))
    weights = torch.softmax(torch.randn(3), 0) * tensor(list(WEIGHTS.values()))
    assert_close(torch.stack(list(drawn[1].values())), weights)
    assert balance(losses([1.0, 2.0, 3.0]), dict.fromkeys(WEIGHTS, 1.0))[0] == (1 + 1 + 3) / 3  # of a validation


def test_imtl_l_is_torchjds_where_all_are_labelled():
    balance, reference = ours.IMTLLBalance(three_tasks()), torchjd.IMTLL(3)
    with torch.no_grad():
        for scale, value in zip(balance.scales.values(), (0.5, -1.0, 0.2), strict=True):
            scale.log_scale.fill_(value)
        reference.log_scale.copy_(tensor([0.5, -1.0, 0.2]))
    given = losses([0.7, 2.0, 0.3])
    total, logs = balance(given, dict.fromkeys(given, 1.0))
    assert_close(total, reference(tensor([0.7, 1.0, 0.3])))
    assert_close(logs["value/weight"], tensor(0.5 * math.exp(-1.0)))
    total.backward()
    assert_close(balance.scales["answer"].log_scale.grad, tensor([math.exp(0.5) * 0.7 - 1]))


def test_imtl_l_without_labels_and_in_shares():
    balance = ours.IMTLLBalance(three_tasks())
    with torch.no_grad():
        balance.scales["value"].log_scale.fill_(2.0)
    given = losses([1.0, 0.0, 0.0])
    total, _ = balance(given, {"answer": 3, "value": 0, "other": 0}, 0.5)
    total.backward()
    assert total == 1.0
    assert balance.scales["value"].log_scale.grad.item() == 0
    assert balance.scales["answer"].log_scale.grad.item() == 1.0 - 0.5  # exp(0) · 1, and the share of the regulariser


def test_imtl_l_accumulates_to_one_batch():
    whole = samples(answers=[True, False, False, True, True, True, False, False], values=[False] * 3 + [True] * 5)
    one, other = module_of(ours.IMTLLBalance), module_of(ours.IMTLLBalance)
    expected = gradients(one, [whole])
    found = gradients(other, [part(whole, 0, 3), part(whole, 3, 8)], 2)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-5, atol=1e-6)
    for name, parameter in one.balance.named_parameters():
        assert_close(dict(other.balance.named_parameters())[name].grad, parameter.grad, rtol=1e-5, atol=1e-6)


def test_uncertainty_is_torchjds_for_squared_errors():
    tasks = {name: Regression(2, name) for name in ("a", "b")}
    balance, reference = UncertaintyBalance(tasks), torchjd.UW(2)
    with torch.no_grad():
        for name, value in (("a", 0.4), ("b", -0.7)):
            balance.log_variances[name].fill_(value)
        reference.log_var.copy_(tensor([0.4, -0.7]))
    given = {"a": tensor(1.3), "b": tensor(0.2)}
    assert_close(balance(given, {"a": 1, "b": 1})[0], reference(tensor([1.3, 0.2])))
