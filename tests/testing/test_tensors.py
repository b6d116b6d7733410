"""Named tensors are compared entry by entry."""

import math

import pytest
import torch
from torch import tensor

from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import check_finite, difference, weighted_sum


def test_the_first_entry_that_differs_is_named():
    old = {"a": tensor([[1.0, 2.0], [3.0, 4.0]])}
    assert difference(old, {"a": old["a"].clone()}) == ""
    assert difference(old, {"a": tensor([[1.0, 2.0], [3.5, 4.0]])}) == "a[1, 0] is 3.5, was 3"
    assert difference(old, {"a": old["a"] + 1e-6}, 1e-5) == ""
    assert difference(old, {"a": old["a"] * (1 + 1e-4)}, 1e-5).startswith("a[0, 0] is 1.0001")
    assert difference(old, {"a": tensor([1.0])}) == "a has the shape (1,), was (2, 2)"
    assert difference(old, {}) == "a has the shape None, was (2, 2)"
    assert difference({"s": tensor(1.0)}, {"s": tensor(2.0)}) == "s is 2, was 1"
    assert difference({"s": tensor(math.nan)}, {"s": tensor(math.nan)}) == "s is nan, was nan"


def test_every_entry_has_a_weight_of_its_own():
    ones = {"a": torch.ones(2, 3), "b": torch.ones(3)}
    assert weighted_sum(ones) == weighted_sum(ones)
    for place in range(6):
        changed = torch.ones(6).index_fill(0, tensor(place), 2.0).view(2, 3)
        assert weighted_sum({**ones, "a": changed}) != weighted_sum(ones)


def test_what_is_not_finite_is_named():
    check_finite({"a": torch.ones(2)}, "")
    with pytest.raises(ContractViolation, match="b is not finite: inf"):
        check_finite({"a": torch.ones(2), "b": tensor([1.0, math.inf])}, "")
