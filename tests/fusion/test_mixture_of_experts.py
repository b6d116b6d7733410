"""The mixture of experts against NumPy: gated sums of each sample's best experts, and the paper's balancing losses."""

import numpy as np
import pytest

from fusion_harness import (
    DIMS,
    WIDTH,
    assert_close,
    build_with_weights,
    gate_chances,
    linear,
    norm,
    samples,
    squared_variation,
    top_gates,
)
from mmbert.core.errors import ConfigError
from mmbert.fusion.mixture_of_experts import MixtureOfExpertsFusion


def test_a_sample_gets_the_gated_sum_of_its_best_experts():
    fusion, w = build_with_weights(MixtureOfExpertsFusion, dropout=0.0, top_k=3)
    inputs, rows = samples()
    expected, shares, chosen = [], [], []
    for row in rows:
        vectors = {m: norm(row[m], w, f"norms.{m}") if m in row else np.zeros(d) for m, d in DIMS.items()}
        able = [i for i, m in enumerate(m for m in DIMS for _ in range(2)) if m in row]
        gates = top_gates(w["gate.clean.weight"] @ np.concatenate(list(vectors.values())), able, 3)
        z = np.zeros(WIDTH)
        for i, m in enumerate(m for m in DIMS for _ in range(2)):
            hidden = np.maximum(linear(vectors[m], w, f"experts.{i}.0"), 0)
            z += gates[i] * linear(hidden, w, f"experts.{i}.3")
        expected.append(z)
        shares.append(gates.reshape(3, 2).sum(1))
        chosen.append((gates > 0).sum())
    assert chosen == [3, 3, 2, 2, 3, 2], "one modality has but two experts"
    fused = fusion(inputs, diagnostics=True)
    assert_close(fused.pooled, expected)
    assert_close(fused.diagnostics["share/gate"], shares)
    assert set(fusion(inputs, diagnostics="shares").diagnostics) == {"share/gate"}


def test_the_balancing_losses_with_all_present_are_the_papers():
    fusion, w = build_with_weights(
        MixtureOfExpertsFusion, dropout=0.0, top_k=2, importance_weight=0.5, load_weight=0.25
    )
    inputs, rows = samples(present=[[1, 1, 1]] * 7)
    gates, chances = np.zeros(6), np.zeros(6)
    for row in rows:
        x = np.concatenate([norm(row[m], w, f"norms.{m}") for m in DIMS])
        clean, spread = w["gate.clean.weight"] @ x, np.log1p(np.exp(w["gate.noise.weight"] @ x))
        gates += top_gates(clean, range(6), 2)
        chances += gate_chances(clean, spread, clean, range(6), 2)
    losses = fusion(inputs).auxiliary_losses
    assert_close(losses["importance"], 0.5 * squared_variation(gates))
    assert_close(losses["load"], 0.25 * squared_variation(chances))


def test_losses_of_weight_zero_are_left_out():
    fusion, _ = build_with_weights(MixtureOfExpertsFusion, dropout=0.0, importance_weight=0.0, load_weight=0.1)
    assert set(fusion(samples()[0]).auxiliary_losses) == {"load"}


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="top_k=1 must be at least 2"):
        MixtureOfExpertsFusion(DIMS, WIDTH, top_k=1)
    with pytest.raises(ConfigError, match="experts_per_modality=0 .* must be at least 1"):
        MixtureOfExpertsFusion(DIMS, WIDTH, experts_per_modality=0)
    with pytest.raises(ConfigError, match="load_weight=-1 at least 0"):
        MixtureOfExpertsFusion(DIMS, WIDTH, load_weight=-1)
