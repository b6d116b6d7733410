"""MUTAN against NumPy: the full core tensor, contracted mode by mode."""

from functools import reduce

import numpy as np
import pytest

from fusion_harness import DIMS, assert_fuses_to, build_with_weights, linear, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.mutan import MUTANFusion


@pytest.mark.parametrize("dims", [{"text": 4, "image": 3}, DIMS])
def test_it_contracts_a_core_tensor_whose_slices_are_sums_of_r_outer_products(dims):
    t, rank = 4, 3
    fusion, w = build_with_weights(MUTANFusion, dims, joint_dim=t, rank=rank)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        x = {m: np.tanh(projected(v, w, f"project.{m}")) for m, v in row.items()}
        vectors = {m: w[f"core.{m}.weight"].reshape(rank, t, t) for m in row}  # [r, k] is column k of M_m^r
        s = np.zeros(t)
        for k in range(t):
            core = sum(reduce(np.multiply.outer, [vectors[m][r, k] for m in row]) for r in range(rank))
            for value in x.values():  # mode by mode: the slice of the core is contracted with every vector
                core = np.tensordot(value, core, axes=(0, 0))
            s[k] = core
        expected.append(linear(s, w, "out"))
    assert_fuses_to(fusion, inputs, expected)


def test_a_rank_below_one_is_refused():
    with pytest.raises(ConfigError, match="fusion.rank=0 must be 1 or more"):
        MUTANFusion(DIMS, rank=0)
