"""The gated multimodal unit against NumPy, written from its paper: one gate for two modalities, one each for more."""

import numpy as np
import pytest

from fusion_harness import (
    DIMS,
    PRESENT,
    WIDTH,
    assert_fuses_to,
    build_with_weights,
    by_modality,
    norm,
    samples,
    sigmoid,
)
from mmbert.fusion.gmu import GMUFusion


def gated(row, w, dims):
    """One sample {modality: vector} -> its squashed values and its gates, modality by modality, from the paper."""
    x = {m: norm(v, w, f"norms.{m}") for m, v in row.items()}
    joined = np.concatenate([x.get(m, np.zeros(d)) for m, d in dims.items()])
    gates = sigmoid(w["gate.weight"] @ joined)
    values = {m: np.tanh(w[f"value.{m}.weight"] @ v) for m, v in x.items()}
    if len(dims) != 2:
        return values, {m: g for m, g in zip(dims, gates.reshape(len(dims), WIDTH), strict=True) if m in row}
    first, second = dims
    if len(row) == 1:
        return values, {m: np.ones(WIDTH) for m in row}
    return values, {first: gates, second: 1 - gates}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_gated_unit_is_the_papers_for_two_modalities_and_for_more(count):
    dims = dict(list(DIMS.items())[:count])
    fusion, w = build_with_weights(GMUFusion, dims)
    inputs, rows = samples(dims, [here for here in PRESENT if any(here[:count])])
    both = [gated(row, w, dims) for row in rows]
    assert_fuses_to(fusion, inputs, [sum(gates[m] * values[m] for m in values) for values, gates in both])
    told = fusion(inputs, diagnostics=True).diagnostics["gate"].detach()
    np.testing.assert_allclose(told, by_modality(rows, [gates for _, gates in both], dims), atol=1e-12)
    if count == 2:
        assert len(rows[0]) == 2, "z ⊙ h_1 + (1 - z) ⊙ h_2 itself is among the cases"
        assert fusion.gate.weight.shape == (WIDTH, sum(dims.values())), "one gate, not one for each"
