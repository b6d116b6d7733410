"""The outer product of each sample's vectors against NumPy."""

from functools import reduce

import numpy as np
import torch

from mmbert.fusion.layers.outer_product import outer_product


def test_each_samples_outer_product_is_flattened_with_the_last_index_fastest():
    vectors = [torch.randn(3, width, generator=torch.Generator().manual_seed(width)) for width in (2, 3, 4)]
    expected = [reduce(np.multiply.outer, [v[b].numpy() for v in vectors]).ravel() for b in range(3)]
    np.testing.assert_allclose(outer_product(vectors), np.stack(expected), rtol=1e-6)
    assert outer_product([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])]).tolist() == [[3, 5, 6, 10]]
    assert torch.equal(outer_product(vectors[:1]), vectors[0])
