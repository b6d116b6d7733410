"""Tensor fusion against NumPy: the outer product with ones, two layers, how wide it may be, and its first draw."""

import math

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, linear, outer, projected, relu, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.tensor_fusion import TensorFusion, default_width


def test_tensor_fusion_equals_the_outer_product_with_ones_and_two_layers():
    fusion, w = build_with_weights(TensorFusion, hidden_dim=3)
    inputs, rows = samples()
    expected = []
    for row in rows:
        ones = [
            np.append(np.maximum(projected(row[m], w, f"project.{m}"), 0) if m in row else np.zeros(3), 1.0)
            for m in DIMS
        ]
        hidden = relu(linear(outer(ones).ravel(), w, "first"))
        expected.append(relu(linear(hidden, w, "second")))
    assert np.stack(expected).any(1).all(), "ReLU leaves something to compare in each sample"
    assert_fuses_to(fusion, inputs, expected)


@pytest.mark.parametrize(("modalities", "out_dim", "width"), [(1, 128, 128), (2, 128, 128), (3, 128, 32), (3, 8, 8)])
def test_the_tensor_is_as_wide_as_fits(modalities, out_dim, width):
    assert default_width(modalities, out_dim) == width


def test_the_default_width_of_many_modalities_is_the_largest_that_fits():
    for modalities, width in ((4, 12), (5, 7)):
        assert default_width(modalities, 128) == width
        assert (width + 1) ** modalities <= 36_000 < (width + 2) ** modalities


def test_each_set_of_modalities_has_the_same_share_of_the_tensors_variance():
    torch.manual_seed(0)
    fusion = TensorFusion(DIMS, 400, hidden_dim=8)
    cube = fusion.first.weight.detach().reshape(400, 9, 9, 9)
    # the entries of h have a mean square of 1/2: 8 · 1/2 of one modality, 64 · 1/4 of two, 512 · 1/8 of three
    one, two, three = cube[:, :8, 8, 8], cube[:, :8, :8, 8], cube[:, :8, :8, :8]
    for part, size in ((cube[:, 8, 8, 8], 1), (one, 4), (two, 16), (three, 64)):
        assert part.square().mean().item() * size == pytest.approx(1 / 8, rel=0.3 if size == 1 else 0.1)


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="hidden_dim=0 must be at least 1, or null"):
        TensorFusion(DIMS, WIDTH, hidden_dim=0)
    with pytest.raises(ConfigError, match=r"256\^3 = 16,777,216 numbers for 3 modalities, and 4,194,304 is the most"):
        TensorFusion(DIMS, WIDTH, hidden_dim=255)
    assert math.prod([161] * 3) < 4_194_304 and TensorFusion(DIMS, 1, hidden_dim=160).first.in_features == 161**3
