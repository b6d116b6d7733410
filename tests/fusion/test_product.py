"""The product against NumPy, with modalities missing and sequences padded."""

import numpy as np

from fusion_harness import assert_fuses_to, build_with_weights, projected, samples
from mmbert.fusion.product import ProductFusion


def test_product_multiplies_the_present_modalities_alone():
    fusion, w = build_with_weights(ProductFusion)
    inputs, rows = samples()
    expected = [np.prod([np.tanh(projected(x, w, f"project.{m}")) for m, x in row.items()], axis=0) for row in rows]
    assert_fuses_to(fusion, inputs, expected)
