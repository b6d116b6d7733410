"""A view is the projection of one modality, and the pooled vector the mean of the views that a sample has."""

import numpy as np

from fusion_harness import DIMS, PRESENT, WIDTH, assert_close, build_with_weights, projected, samples
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.fusion.layers.unimodal_heads import UnimodalViews


def test_views_are_projections_and_zeros_where_a_sample_lacks_the_modality():
    fusion, w = build_with_weights(LateMeanFusion)
    assert isinstance(fusion.unimodal, UnimodalViews)
    inputs, rows = samples()
    views = [{m: projected(x, w, f"unimodal.project.{m}") for m, x in row.items()} for row in rows]
    fused = fusion.unimodal(inputs)
    for number, m in enumerate(DIMS):
        assert_close(fused.views[m], [view.get(m, np.zeros(WIDTH)) for view in views])
        assert fused.view_masks[m].tolist() == [bool(row[number]) for row in PRESENT]
    assert_close(fused.pooled, [np.mean(list(view.values()), axis=0) for view in views])
