"""Concatenation against NumPy, with modalities missing and sequences padded."""

import numpy as np

from fusion_harness import DIMS, assert_fuses_to, build_with_weights, linear, norm, samples
from mmbert.fusion.concat import ConcatFusion


def test_concat_is_one_projection_of_the_vectors_side_by_side():
    fusion, w = build_with_weights(ConcatFusion)
    inputs, rows = samples()
    expected = []
    for row in rows:
        slots = [norm(row[m], w, f"norms.{m}") if m in row else np.zeros(d) for m, d in DIMS.items()]
        expected.append(linear(np.concatenate(slots), w, "linear"))
    assert_fuses_to(fusion, inputs, expected)
