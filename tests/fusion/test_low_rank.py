"""Low-rank fusion against NumPy: the contraction with the full tensor that its factors stand for."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, norm, outer, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.low_rank import LowRankFusion


@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_equals_the_contraction_with_the_full_tensor(rank):
    fusion, w = build_with_weights(LowRankFusion, rank=rank)
    text, image, audio = (w[f"factors.{m}"] for m in DIMS)  # (R, D_m + 1, H)
    full = np.einsum("rih,rjh,rkh->ijkh", text, image, audio)
    inputs, rows = samples()
    expected = []
    for row in rows:
        ones = [np.append(norm(row[m], w, f"norms.{m}") if m in row else np.zeros(d), 1.0) for m, d in DIMS.items()]
        expected.append(np.einsum("ijkh,ijk->h", full, outer(ones)) + w["bias"])
    assert_fuses_to(fusion, inputs, expected)


def test_a_rank_below_one_is_refused():
    with pytest.raises(ConfigError, match="fusion.rank=0 must be at least 1"):
        LowRankFusion(DIMS, WIDTH, rank=0)
