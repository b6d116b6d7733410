"""Bilinear fusion against NumPy, written as a sum of forms over pairs, with modalities missing."""

from itertools import combinations

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, linear, norm, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.bilinear import BilinearFusion
from mmbert.testing import check_fusion

PAIR = {"text": 4, "image": 3}


@pytest.mark.parametrize("joint_dim", [6, None])
@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_it_is_the_sum_of_bilinear_forms_of_all_pairs(dims, joint_dim):
    fusion, w = build_with_weights(BilinearFusion, dims, joint_dim=joint_dim)
    inputs, rows = samples(dims)
    width = {m: joint_dim or d for m, d in dims.items()}
    pairs = list(combinations(dims, 2))
    parts = np.split(w["out.weight"], np.cumsum([width[i] * width[j] for i, j in pairs])[:-1], axis=1)
    forms = {
        (i, j): part.reshape(WIDTH, width[i], width[j]) for (i, j), part in zip(pairs, parts, strict=True)
    }  # T_h for each pair
    expected = []
    for row in rows:
        x = {m: projected(v, w, f"project.{m}") if joint_dim else norm(v, w, f"norms.{m}") for m, v in row.items()}
        total = w["out.bias"].copy()
        for (i, j), form in forms.items():
            if i in x or j in x:
                first, second = (x.get(m, np.ones(width[m])) for m in (i, j))
                total += np.array([first @ form[h] @ second for h in range(WIDTH)])
        expected.append(total)
    assert_fuses_to(fusion, inputs, expected)


def test_of_one_modality_it_is_a_linear_map():
    fusion, w = build_with_weights(BilinearFusion, {"text": 4}, joint_dim=6)
    inputs, rows = samples({"text": 4})
    assert_fuses_to(fusion, inputs, [linear(projected(row["text"], w, "project.text"), w, "out") for row in rows])


def test_it_keeps_the_contract_without_projection_too():
    laws = ["absence changes nothing", "every present modality is used", "everything learns", "number formats are kept"]
    assert check_fusion(BilinearFusion, joint_dim=None, dims=DIMS, only=laws).passed


def test_a_width_below_one_is_refused():
    with pytest.raises(ConfigError, match="fusion.joint_dim=0 must be 1 or more, or null"):
        BilinearFusion(DIMS, joint_dim=0)
