"""FiLM and deep sets against NumPy, written from the papers' formulas, with modalities missing."""

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.deep_sets import DeepSetsFusion
from mmbert.fusion.film import FilmFusion
from mmbert.fusion.layers.mlp import two_layers
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 6


def built(kind, dims=DIMS, **options):
    """In float64, evaluation mode, with norms that are no identity and biases that are not zero."""
    torch.manual_seed(3)
    fusion = kind(dims, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion, {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}


def samples(dims=DIMS, present=PRESENT):
    """Inputs, padded, and for each sample the vectors of the modalities that it has."""
    inputs = random_inputs(dims, len(present), present=torch.tensor(present).bool(), dtype=torch.float64)
    rows = [
        {m: inputs[m].pooled[b].numpy() for m, there in zip(dims, here, strict=True) if there}
        for b, here in enumerate(present)
    ]
    return inputs, rows


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def projected(v, w, name):
    """W LN(v) + b."""
    normed = (v - v.mean()) / np.sqrt(v.var() + 1e-5) * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"]
    return linear(normed, w, f"{name}.linear")


def close(given, expected):
    np.testing.assert_allclose(given.detach().numpy(), np.stack(expected), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("modulated", ["text", "audio"])
def test_film_scales_and_shifts_one_modality_as_the_present_others_say(modulated):
    fusion, w = built(FilmFusion, modulated=modulated)
    inputs, rows = samples()
    gammas, betas, expected = [], [], []
    for row in rows:
        x = projected(row[modulated], w, "project") if modulated in row else np.zeros(WIDTH)
        said = [projected(v, w, f"generators.{m}") for m, v in row.items() if m != modulated]
        scale, beta = np.split(np.mean(said, axis=0) if said else np.zeros(2 * WIDTH), 2)
        gammas.append(1 + scale)
        betas.append(beta)
        expected.append((1 + scale) * x + beta)
    fused = fusion(inputs, diagnostics=True)
    close(fused.pooled, expected)
    close(fused.diagnostics["gamma"], gammas)
    close(fused.diagnostics["beta"], betas)
    assert fusion(inputs, diagnostics="shares").diagnostics == {}


def test_film_of_two_modalities_is_the_papers_layer():
    dims = {"image": 3, "text": 4}
    fusion, w = built(FilmFusion, dims, normalize=False)
    inputs, rows = samples(dims, [[1, 1], [1, 1]])
    expected = []
    for row in rows:
        features = linear(row["image"], w, "project.linear")
        delta_gamma, beta = np.split(linear(row["text"], w, "generators.text.linear"), 2)
        expected.append(features + delta_gamma * features + beta)
    close(fusion(inputs).pooled, expected)


def test_film_modulates_the_first_unless_told_and_knows_no_others():
    assert FilmFusion(DIMS, WIDTH).modulated == "text"
    with pytest.raises(ConfigError, match="modulated=txt is none of the modalities. Did you mean 'text'"):
        FilmFusion(DIMS, WIDTH, modulated="txt")


def test_deep_sets_is_one_network_of_the_sum_of_another_over_the_present():
    fusion, w = built(DeepSetsFusion)
    inputs, rows = samples()
    expected = []
    for row in rows:
        total = np.zeros(WIDTH)
        for m, v in row.items():
            hidden = np.maximum(linear(projected(v, w, f"project.{m}"), w, "phi.0"), 0)
            total += linear(hidden, w, "phi.3")
        expected.append(linear(np.maximum(linear(total, w, "rho.0"), 0), w, "rho.3"))
    close(fusion(inputs).pooled, expected)


def test_deep_sets_does_not_know_the_order_of_its_elements():
    dims = {"a": 4, "b": 4, "c": 4}
    fusion, _ = built(DeepSetsFusion, dims)
    for m in "bc":  # the maps to the common width are all that tells the modalities apart
        fusion.project[m].load_state_dict(fusion.project["a"].state_dict())
    inputs, _ = samples(dims, [[1, 1, 1], [1, 0, 1]])
    turned = {"a": inputs["c"], "b": inputs["a"], "c": inputs["b"]}
    torch.testing.assert_close(fusion(turned).pooled, fusion(inputs).pooled, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [FilmFusion, DeepSetsFusion])
def test_the_output_begins_with_a_size_of_about_one(kind):
    torch.manual_seed(0)
    dims = {"text": 48, "image": 64, "audio": 32}
    assert 0.25 < kind(dims, 64).eval()(random_inputs(dims, 64)).pooled.square().mean().item() < 2.5


def test_two_layers_keep_the_variance():
    torch.manual_seed(0)
    x = torch.randn(400, 100)
    assert two_layers(100, 300, 200, 0.0)(x).square().mean().item() == pytest.approx(1.0, rel=0.1)
