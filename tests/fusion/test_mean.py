"""The mean against NumPy, with modalities missing and sequences padded."""

import numpy as np

from fusion_harness import assert_fuses_to, build_with_weights, projected, samples
from mmbert.fusion.mean import MeanFusion


def test_mean_is_over_the_present_modalities_alone():
    fusion, w = build_with_weights(MeanFusion)
    inputs, rows = samples()
    expected = [np.mean([projected(x, w, f"project.{m}") for m, x in row.items()], axis=0) for row in rows]
    assert_fuses_to(fusion, inputs, expected)
