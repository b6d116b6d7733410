"""The shapes of pruned networks: what is stored, what is built from it, and what is refused."""

import pytest
import torch
from torch import nn

from mmbert.core.errors import InputError
from mmbert.encoders.pruned_shapes import changed_shapes, shrink, sizes_of, still_there


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def cut():
    """A network without the last two of its six hidden units, and what is stored of it."""
    made = network()
    before = sizes_of(made)
    for name, tensor in (("weight", made[0].weight[:4]), ("bias", made[0].bias[:4])):
        setattr(made[0], name, nn.Parameter(tensor.detach().clone()))
    made[2].weight = nn.Parameter(made[2].weight[:, :4].detach().clone())
    made[0].out_features = made[2].in_features = 4
    return made, changed_shapes(before, made)


def test_only_what_changed_is_stored():
    _, shapes = cut()
    assert shapes == {
        "tensors": {"0.weight": [4, 4], "0.bias": [4], "2.weight": [3, 4]},
        "sizes": {"0.out_features": 4, "2.in_features": 4},
    }


def test_a_network_is_built_again_and_answers_alike():
    made, shapes = cut()
    again = network()
    shrink(again, shapes)
    again.load_state_dict(made.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(again(x), made(x))
    assert repr(again) == repr(made)


def test_what_is_gone_altogether_is_no_longer_stored():
    made, shapes = cut()
    del made[2]
    assert still_there(shapes, made) == {
        "tensors": {"0.weight": [4, 4], "0.bias": [4]},
        "sizes": {"0.out_features": 4},
    }


@pytest.mark.parametrize(
    ("shapes", "complaint"),
    [
        ({"tensors": {"0.weight": [9, 4]}, "sizes": {}}, "'0.weight' .9, 4.: built with .6, 4."),
        ({"tensors": {"7.weight": [1, 4]}, "sizes": {}}, "there is none"),
        ({"tensors": {"0.weight": [0, 4]}, "sizes": {}}, "built with"),
        ({"tensors": {"0.weight": "all"}, "sizes": {}}, "built with"),
        ({"tensors": {}, "sizes": {"0.out_features": 99}}, "sets 0.out_features to 99"),
        ({"tensors": {}, "sizes": {"0.out_features": True}}, "sets 0.out_features"),
        ({"tensors": {}, "sizes": {"0.training": 1}}, "sets 0.training"),
        ({"tensors": {}, "sizes": {"9.out_features": 1}}, "sets 9.out_features"),
        ({"tensors": []}, "holds no shapes"),
    ],
)
def test_shapes_that_are_none_or_larger_are_refused(shapes, complaint):
    with pytest.raises(InputError, match=complaint):
        shrink(network(), shapes)
