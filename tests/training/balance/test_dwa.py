"""Dynamic weight average against torchjd and by hand."""

import math

import torch
from torch import tensor
from torch.testing import assert_close
from torchjd.scalarization import DWA

from mmbert.training.balance.dwa import DWABalance
from three_tasks_model import three_tasks

NAMES = ("answer", "value", "other")


def means(*values):
    return {f"{name}/loss": tensor(value) for name, value in zip(NAMES, values, strict=True) if value is not None}


def total(balance, *values):
    return balance(dict(zip(NAMES, map(torch.tensor, values), strict=True)), dict.fromkeys(NAMES, 1.0))


def test_weights_are_torchjds_where_batches_are_alike():
    balance, reference = DWABalance(three_tasks(), 1.5), DWA(1.5)
    for values in ((2.0, 1.0, 4.0), (1.0, 0.9, 3.0), (0.9, 0.3, 2.9), (0.9, 0.2, 2.0)):
        expected = reference(tensor(values) * tensor([1.0, 0.5, 1.0]))
        assert_close(total(balance, *values)[0], expected)
        balance.epoch_ended(means(*values))
        reference.step()


def test_weights_by_hand():
    balance = DWABalance(three_tasks(), 2.0)
    assert total(balance, 1.0, 2.0, 3.0)[0] == 1 + 0.5 * 2 + 3
    for values in ((2.0, 1.0, 4.0), (1.0, 1.0, 4.0)):
        balance.epoch_ended(means(*values))
    # r = 1/2, 1, 1:  3 · exp(r / 2) / Σ
    shares = [math.exp(0.25), math.exp(0.5), math.exp(0.5)]
    expected = [3 * share / sum(shares) for share in shares]
    _, logs = total(balance, 1.0, 1.0, 1.0)
    assert_close([float(logs[f"{name}/weight"]) for name in NAMES], [expected[0], expected[1] / 2, expected[2]])


def test_an_epoch_without_labels_counts_as_one_without_change():
    balance = DWABalance(three_tasks())
    for values in ((2.0, None, 4.0), (2.0, 1.0, 4.0)):
        balance.epoch_ended(means(*values))
    assert_close(balance.factors(), [1.0, 1.0, 1.0])
    balance.epoch_ended(means(0.0, 1.0, 4.0))
    balance.epoch_ended(means(0.0, 1.0, 4.0))  # 0 / 0 is no rate either
    assert all(map(math.isfinite, balance.factors()))


def test_state_goes_through_checkpoints():
    one, other = DWABalance(three_tasks()), DWABalance(three_tasks())
    for values in ((2.0, 1.0, 4.0), (1.0, 0.9, 3.0)):
        one.epoch_ended(means(*values))
    other.load_state_dict(one.state_dict())
    assert other.factors() == one.factors() != [1.0, 1.0, 1.0]
