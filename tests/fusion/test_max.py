"""The maximum against NumPy, with modalities missing, and how often each modality wins."""

import numpy as np

from fusion_harness import assert_fuses_to, build_with_weights, by_modality, projected, samples
from mmbert.fusion.max import MaxFusion


def test_max_is_the_largest_of_the_present_modalities_in_each_element():
    fusion, w = build_with_weights(MaxFusion)
    inputs, rows = samples()
    values = [{m: projected(x, w, f"project.{m}") for m, x in row.items()} for row in rows]
    assert_fuses_to(fusion, inputs, [np.max(list(row.values()), axis=0) for row in values])
    assert any((value < 0).any() for row in values for value in row.values()), "or zeros of the absent could win unseen"
    wins = [
        {m: np.mean(value >= np.max(list(row.values()), axis=0)) for m, value in row.items()} for row in values
    ]  # continuous values: no ties
    told = fusion(inputs, diagnostics=True).diagnostics["share/max"]
    np.testing.assert_allclose(told, by_modality(rows, wins), atol=1e-12)
