"""The small image networks: their sizes, what they compute, and options that they refuse."""

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.encoders.pretrained.timm import SmallResNet, small_network


def test_the_stem_and_the_poolings_halve_the_picture():
    network, config = small_network("tiny", {})
    assert config["input_size"] == (3, 16, 16)
    features = network.eval().forward_features(torch.zeros(2, 3, 16, 24))
    assert features.shape == (2, 16, 4, 6)  # the stem and one pooling
    assert small_network("resnet_mini", {})[0].num_features == 128
    assert small_network("resnet18", {}) is None


def test_the_head_is_the_maximum_over_the_picture():
    features = torch.tensor([[[[1.0, 5.0], [2.0, 0.0]], [[-3.0, -1.0], [-2.0, -4.0]]]])
    assert SmallResNet([4, 2], [False, False]).forward_head(features).tolist() == [[5.0, -1.0]]


def test_a_residual_block_adds_to_its_input():
    network = SmallResNet([4, 8], [False, True]).eval()
    block = network.stages[-1]
    x = torch.randn(1, 8, 3, 3)
    torch.nn.init.zeros_(block.second.bn.weight)
    assert torch.equal(block(x), x)


def test_options_replace_the_widths():
    network, _ = small_network("tiny", {"channels": [2, 3], "residual": [False, False]})
    assert network.num_features == 3
    assert [layer.conv.out_channels for layer in network.stages] == [2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": [1, 2]}, "'chanels' is no option of tiny.*channels"),
        ({"channels": [1, 2]}, "lists of the same length, 2 or more"),
        ({"channels": [1], "residual": [True]}, "lists of the same length, 2 or more"),
    ],
)
def test_options_that_make_no_network(options, message):
    with pytest.raises(ConfigError, match=message):
        small_network("tiny", options)
