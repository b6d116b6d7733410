"""The weighted sum against NumPy: learned weights, spread over the modalities that a sample has."""

import numpy as np
import torch

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, by_modality, projected, samples, softmax
from mmbert.fusion.weighted_sum import WeightedSumFusion
from mmbert.testing import random_inputs


def test_weighted_sum_spreads_the_learned_weights_over_the_present_modalities():
    fusion, w = build_with_weights(WeightedSumFusion)
    inputs, rows = samples()
    scores = dict(zip(DIMS, w["scores"], strict=True))
    weights = [dict(zip(row, softmax(np.array([scores[m] for m in row])), strict=True)) for row in rows]
    expected = [
        sum(weight[m] * projected(x, w, f"project.{m}") for m, x in row.items())
        for row, weight in zip(rows, weights, strict=True)
    ]
    assert_fuses_to(fusion, inputs, expected)
    told = fusion(inputs, diagnostics=True).diagnostics["weight"].detach()
    np.testing.assert_allclose(told, by_modality(rows, weights), atol=1e-12)


def test_weighted_sum_begins_as_the_mean():
    torch.manual_seed(0)
    fusion = WeightedSumFusion(DIMS, WIDTH).eval()
    inputs = random_inputs(DIMS)
    told = fusion(inputs, diagnostics="shares").diagnostics["weight"]
    torch.testing.assert_close(told, torch.full_like(told, 1 / 3))


def test_a_modality_on_its_own_has_the_weight_one():
    fusion, w = build_with_weights(WeightedSumFusion, {"text": 4})
    inputs, rows = samples({"text": 4}, [[1], [1]])
    assert_fuses_to(fusion, inputs, [projected(row["text"], w, "project.text") for row in rows])
    assert (fusion(inputs, diagnostics=True).diagnostics["weight"] == 1).all()
