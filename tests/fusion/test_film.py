"""FiLM against NumPy, written from the paper's layer, with modalities missing."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, assert_close, build_with_weights, linear, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.film import FilmFusion


@pytest.mark.parametrize("modulated", ["text", "audio"])
def test_film_scales_and_shifts_one_modality_as_the_present_others_say(modulated):
    fusion, w = build_with_weights(FilmFusion, modulated=modulated)
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
    assert_close(fused.pooled, expected)
    assert_close(fused.diagnostics["gamma"], gammas)
    assert_close(fused.diagnostics["beta"], betas)
    assert fusion(inputs, diagnostics="shares").diagnostics == {}


def test_film_of_two_modalities_is_the_papers_layer():
    dims = {"image": 3, "text": 4}
    fusion, w = build_with_weights(FilmFusion, dims, normalize=False)
    inputs, rows = samples(dims, [[1, 1], [1, 1]])
    expected = []
    for row in rows:
        features = linear(row["image"], w, "project.linear")
        delta_gamma, beta = np.split(linear(row["text"], w, "generators.text.linear"), 2)
        expected.append(features + delta_gamma * features + beta)
    assert_close(fusion(inputs).pooled, expected)


def test_film_modulates_the_first_unless_told_and_knows_no_others():
    assert FilmFusion(DIMS, WIDTH).modulated == "text"
    with pytest.raises(ConfigError, match="modulated=txt is none of the modalities. Did you mean 'text'"):
        FilmFusion(DIMS, WIDTH, modulated="txt")
