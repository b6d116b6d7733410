"""MLB against NumPy, and against the full bilinear form that its paper starts from."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, assert_fuses_to, build, build_with_weights, linear, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.mlb import MLBFusion
from mmbert.testing import random_inputs

PAIR = {"text": 4, "image": 3}


@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_it_multiplies_the_squashed_projections_of_the_present(dims):
    fusion, w = build_with_weights(MLBFusion, dims, joint_dim=6)
    inputs, rows = samples(dims)
    products = [np.prod([np.tanh(projected(x, w, f"project.{m}")) for m, x in row.items()], axis=0) for row in rows]
    assert_fuses_to(fusion, inputs, [linear(product, w, "out") for product in products])


def test_it_is_a_bilinear_form_of_rank_d_without_its_tanh():
    """Equation 3 of the paper: xᵀ U_i V_iᵀ y, all its forms sharing U and V; for tiny x and y tanh(u) = u."""
    fusion = build(MLBFusion, PAIR, joint_dim=6, normalize=False)
    with torch.no_grad():
        for projection in fusion.project.values():
            projection.linear.bias.zero_()
        fusion.out.bias.zero_()
    u, v, p = (layer.weight.detach().numpy() for layer in (*[x.linear for x in fusion.project.values()], fusion.out))
    inputs = random_inputs(PAIR, 3, dtype=torch.float64)
    small = {m: type(x)(x.tokens * 1e-5, x.mask, x.pooled * 1e-5) for m, x in inputs.items()}
    x, y = (e.pooled.numpy() for e in small.values())
    forms = np.einsum("hd,di,dj->hij", p, u, v)
    expected = np.einsum("bi,hij,bj->bh", x, forms, y) * 1e10
    np.testing.assert_allclose(fusion(small).pooled.detach() * 1e10, expected, atol=1e-7)


def test_a_width_below_one_is_refused():
    with pytest.raises(ConfigError, match="fusion.joint_dim=0 must be 1 or more"):
        MLBFusion(DIMS, joint_dim=0)
