"""Deep sets against NumPy: one network of the sum of another over the modalities that a sample has."""

import numpy as np
import torch

from fusion_harness import WIDTH, assert_fuses_to, build_with_weights, linear, projected, samples
from mmbert.fusion.deep_sets import DeepSetsFusion


def test_deep_sets_is_one_network_of_the_sum_of_another_over_the_present():
    fusion, w = build_with_weights(DeepSetsFusion)
    inputs, rows = samples()
    expected = []
    for row in rows:
        total = np.zeros(WIDTH)
        for m, v in row.items():
            hidden = np.maximum(linear(projected(v, w, f"project.{m}"), w, "phi.0"), 0)
            total += linear(hidden, w, "phi.3")
        expected.append(linear(np.maximum(linear(total, w, "rho.0"), 0), w, "rho.3"))
    assert_fuses_to(fusion, inputs, expected)


def test_deep_sets_does_not_know_the_order_of_its_elements():
    dims = {"a": 4, "b": 4, "c": 4}
    fusion, _ = build_with_weights(DeepSetsFusion, dims)
    for m in "bc":  # the maps to the common width are all that tells the modalities apart
        fusion.project[m].load_state_dict(fusion.project["a"].state_dict())
    inputs, _ = samples(dims, [[1, 1, 1], [1, 0, 1]])
    turned = {"a": inputs["c"], "b": inputs["a"], "c": inputs["b"]}
    torch.testing.assert_close(fusion(turned).pooled, fusion(inputs).pooled, rtol=1e-12, atol=1e-12)
