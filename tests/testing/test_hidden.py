"""Tensors that are no parameters or buffers are found wherever Python can hold them."""

from functools import partial
from types import SimpleNamespace

import torch
from torch import nn

from mmbert.testing.hidden import hidden_tensors, tensors_in


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("known", torch.ones(2))
        self.child = nn.Linear(2, 2)


def paths(module, **options):
    return [path for path, _ in hidden_tensors(module, **options)]


def test_what_is_registered_is_not_hidden():
    holder = Holder()
    holder.same = [holder.weight, holder.known]
    assert paths(holder) == []


def test_each_way_to_hide_a_tensor_is_found():
    holder, found = Holder(), torch.ones(3)
    holder.plain = found
    holder.listed = [torch.ones(1), {"a": torch.ones(2)}]
    holder.child.deep = SimpleNamespace(inner=(torch.ones(1),))
    holder.function = partial(torch.add, other=torch.ones(1))
    kept = torch.ones(4)
    holder.closure = lambda x: x + kept
    holder.modules_in_a_list = [nn.Linear(1, 1, bias=False)]
    assert sorted(paths(holder)) == [
        "child.deep.inner[0]",
        "closure (a function that holds kept)",
        "function (arguments of add)['other']",
        "listed[0]",
        "listed[1]['a']",
        "modules_in_a_list[0].weight",
        "plain",
    ]


def test_attributes_can_be_left_out():
    holder = Holder()
    holder.processor = SimpleNamespace(table=torch.ones(1))
    assert paths(holder) == ["processor.table"] and paths(holder, skip=["processor"]) == []


def test_an_object_is_looked_at_once_and_circles_end():
    circle = {"tensor": torch.ones(1)}
    circle["self"] = circle
    assert [path for path, _ in tensors_in("x", circle)] == ["x['tensor']"]
