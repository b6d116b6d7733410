"""Attention pooling against NumPy: weights from what each sample holds, spread over the modalities that it has."""

import numpy as np
import pytest

from fusion_harness import DIMS, assert_fuses_to, build_with_weights, by_modality, projected, samples, softmax
from mmbert.core.errors import ConfigError
from mmbert.fusion.attention_pool import AttentionPoolFusion


def test_attention_pool_weighs_each_sample_by_what_it_holds():
    fusion, w = build_with_weights(AttentionPoolFusion, attention_dim=6)
    inputs, rows = samples()
    weights, expected = [], []
    for row in rows:
        values = {m: projected(x, w, f"project.{m}") for m, x in row.items()}
        scores = [
            w["score.2.weight"][0] @ np.tanh(w["score.0.weight"] @ p + w["score.0.bias"]) for p in values.values()
        ]
        weights.append(dict(zip(row, softmax(np.array(scores)), strict=True)))
        expected.append(sum(weights[-1][m] * p for m, p in values.items()))
    assert_fuses_to(fusion, inputs, expected)
    told = fusion(inputs, diagnostics=True).diagnostics["weight"].detach()
    np.testing.assert_allclose(told, by_modality(rows, weights), atol=1e-12)
    assert fusion(inputs).diagnostics == {}


def test_a_modality_on_its_own_has_the_weight_one():
    fusion, w = build_with_weights(AttentionPoolFusion, {"text": 4})
    inputs, rows = samples({"text": 4}, [[1], [1]])
    assert_fuses_to(fusion, inputs, [projected(row["text"], w, "project.text") for row in rows])
    assert (fusion(inputs, diagnostics=True).diagnostics["weight"] == 1).all()


def test_a_layer_of_no_width_is_refused():
    with pytest.raises(ConfigError, match="fusion.attention_dim=0 must be 1 or more"):
        AttentionPoolFusion(DIMS, attention_dim=0)
