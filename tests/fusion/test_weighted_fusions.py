"""Maximum, weighted sum, attention pooling and gated unit against NumPy, with modalities missing and padding."""

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.attention_pool import AttentionPoolFusion
from mmbert.fusion.gmu import GMUFusion
from mmbert.fusion.max import MaxFusion
from mmbert.fusion.weighted_sum import WeightedSumFusion
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 8


def built(kind, dims=DIMS, **options):
    """In float64, evaluation mode, with every parameter moved off its first value."""
    torch.manual_seed(3)
    fusion = kind(dims, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return fusion, {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def samples(dims=DIMS, present=PRESENT):
    """The batch, and for each sample {modality: vector} of those that it has."""
    here = torch.tensor(present).bool()[:, : len(dims)]
    inputs = random_inputs(dims, len(here), present=here, dtype=torch.float64)
    rows = [
        {m: x.pooled[b].numpy() for m, x in inputs.items() if x.mask[b].any()}  # a row of False is an absent modality
        for b in range(len(here))
    ]
    return inputs, rows


def norm(x, w, name):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def projected(m, x, w):
    return w[f"project.{m}.linear.weight"] @ norm(x, w, f"project.{m}.norm") + w[f"project.{m}.linear.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def agree(fusion, inputs, expected):
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(expected), rtol=0, atol=1e-12)


def laid_out(rows, weights, dims=DIMS):
    """Weights of the modalities that a sample has -> (B, M, …), 0 for the others."""
    return np.stack(
        [
            np.stack([weight.get(m, np.zeros_like(next(iter(weight.values())))) for m in dims])
            for row, weight in zip(rows, weights, strict=True)
        ]
    )


def test_max_is_the_largest_of_the_present_modalities_in_each_element():
    fusion, w = built(MaxFusion)
    inputs, rows = samples()
    values = [{m: projected(m, x, w) for m, x in row.items()} for row in rows]
    agree(fusion, inputs, [np.max(list(row.values()), axis=0) for row in values])
    assert any((value < 0).any() for row in values for value in row.values()), "or zeros of the absent could win unseen"
    wins = [
        {m: np.mean(value >= np.max(list(row.values()), axis=0)) for m, value in row.items()} for row in values
    ]  # continuous values: no ties
    told = fusion(inputs, diagnostics=True).diagnostics["share/max"]
    np.testing.assert_allclose(told, laid_out(rows, wins), atol=1e-12)


def test_weighted_sum_spreads_the_learned_weights_over_the_present_modalities():
    fusion, w = built(WeightedSumFusion)
    inputs, rows = samples()
    scores = dict(zip(DIMS, w["scores"], strict=True))
    weights = [dict(zip(row, softmax(np.array([scores[m] for m in row])), strict=True)) for row in rows]
    agree(
        fusion, inputs, [sum(weights[b][m] * projected(m, x, w) for m, x in row.items()) for b, row in enumerate(rows)]
    )
    told = fusion(inputs, diagnostics=True).diagnostics["weight"].detach()
    np.testing.assert_allclose(told, laid_out(rows, weights), atol=1e-12)


def test_weighted_sum_begins_as_the_mean():
    torch.manual_seed(0)
    fusion = WeightedSumFusion(DIMS, WIDTH).eval()
    inputs = random_inputs(DIMS)
    told = fusion(inputs, diagnostics="shares").diagnostics["weight"]
    torch.testing.assert_close(told, torch.full_like(told, 1 / 3))


def test_attention_pool_weighs_each_sample_by_what_it_holds():
    fusion, w = built(AttentionPoolFusion, attention_dim=6)
    inputs, rows = samples()
    weights, expected = [], []
    for row in rows:
        values = {m: projected(m, x, w) for m, x in row.items()}
        scores = [
            w["score.2.weight"][0] @ np.tanh(w["score.0.weight"] @ p + w["score.0.bias"]) for p in values.values()
        ]
        weights.append(dict(zip(row, softmax(np.array(scores)), strict=True)))
        expected.append(sum(weights[-1][m] * p for m, p in values.items()))
    agree(fusion, inputs, expected)
    told = fusion(inputs, diagnostics=True).diagnostics["weight"].detach()
    np.testing.assert_allclose(told, laid_out(rows, weights), atol=1e-12)
    assert fusion(inputs).diagnostics == {}


@pytest.mark.parametrize("kind", [WeightedSumFusion, AttentionPoolFusion])
def test_a_modality_on_its_own_has_the_weight_one(kind):
    fusion, w = built(kind, {"text": 4})
    inputs, rows = samples({"text": 4}, [[1], [1]])
    agree(fusion, inputs, [projected("text", row["text"], w) for row in rows])
    assert (fusion(inputs, diagnostics=True).diagnostics["weight"] == 1).all()


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
    fusion, w = built(GMUFusion, dims)
    inputs, rows = samples(dims, [here for here in PRESENT if any(here[:count])])
    both = [gated(row, w, dims) for row in rows]
    agree(fusion, inputs, [sum(gates[m] * values[m] for m in values) for values, gates in both])
    told = fusion(inputs, diagnostics=True).diagnostics["gate"].detach()
    np.testing.assert_allclose(told, laid_out(rows, [gates for _, gates in both], dims), atol=1e-12)
    if count == 2:
        assert len(rows[0]) == 2, "z ⊙ h_1 + (1 - z) ⊙ h_2 itself is among the cases"
        assert fusion.gate.weight.shape == (WIDTH, sum(dims.values())), "one gate, not one for each"


def test_a_layer_of_no_width_is_refused():
    with pytest.raises(ConfigError, match="fusion.attention_dim=0 must be 1 or more"):
        AttentionPoolFusion(DIMS, attention_dim=0)
