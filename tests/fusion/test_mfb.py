"""MFB against NumPy: sums of k neighbouring products, their signed roots, length one."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, linear, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.mfb import MFBFusion
from mmbert.testing import random_inputs

PAIR = {"text": 4, "image": 3}


@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_it_sums_groups_of_k_neighbours_and_normalises(dims):
    fusion, w = build_with_weights(MFBFusion, dims, joint_dim=6, factors=3)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        e = np.prod([projected(x, w, f"project.{m}") for m, x in row.items()], axis=0)
        sums = np.array([e[3 * i] + e[3 * i + 1] + e[3 * i + 2] for i in range(6)])
        roots = np.sign(sums) * np.sqrt(np.abs(sums))
        expected.append(linear(roots / np.linalg.norm(roots), w, "out"))
    assert_fuses_to(fusion, inputs, expected)


def test_it_drops_products_in_training_before_they_are_summed():
    torch.manual_seed(0)
    fusion = MFBFusion(PAIR, WIDTH, joint_dim=64, factors=2, dropout=0.0, product_dropout=0.5).train()
    seen = {}
    fusion.product_dropout.register_forward_hook(lambda module, args, out: seen.update(before=args[0], after=out))
    fusion(random_inputs(PAIR))
    assert seen["before"].shape == (4, 128)
    kept = seen["after"] != 0
    assert 0.4 < kept.float().mean() < 0.6
    torch.testing.assert_close(seen["after"][kept], 2 * seen["before"][kept])


def test_no_factors_are_refused():
    with pytest.raises(ConfigError, match="fusion.factors=0 must be 1 or more"):
        MFBFusion(DIMS, factors=0)
