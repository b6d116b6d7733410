"""A hash of weights: the same for the same numbers, another for any other name, shape, type or number."""

import torch
from torch import nn

from mmbert.encoders.pretrained.fingerprint import tensors_fingerprint, weights_fingerprint


def test_it_is_of_names_shapes_types_and_numbers_and_of_nothing_else():
    state = {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "b": torch.tensor(7)}
    found = tensors_fingerprint(state)
    strided = torch.tensor([1.0, 0, 2, 0, 3, 0, 4, 0])[::2]
    assert tensors_fingerprint({"b": torch.tensor(7), "a": strided}) == found
    others = [
        {"a": state["a"].reshape(2, 2), "b": state["b"]},
        {"a": state["a"].double(), "b": state["b"]},
        {"a": state["a"].nextafter(torch.tensor(9.0)), "b": state["b"]},
        {"c": state["a"], "b": state["b"]},
        {"a": state["a"]},
        {"a": state["a"], "b": state["b"], "empty": torch.zeros(0)},
        {"a": state["a"].bfloat16(), "b": state["b"]},
    ]
    assert len({found, *map(tensors_fingerprint, others)}) == 8


def test_a_modules_is_that_of_its_state_buffers_included():
    module = nn.BatchNorm1d(3)
    before = weights_fingerprint(module)
    assert before == tensors_fingerprint(module.state_dict())
    module(torch.randn(4, 3))
    assert weights_fingerprint(module) != before
