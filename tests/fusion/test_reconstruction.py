"""Imagined modalities and their loss against NumPy."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, linear, norm, projected
from mmbert.core.errors import ConfigError
from mmbert.fusion.reconstruction import ReconstructionFusion
from mmbert.testing import random_inputs

PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=bool)
WIDTH = 6


def built(present=PRESENT, **options):
    torch.manual_seed(3)
    fusion = ReconstructionFusion(DIMS, WIDTH, dropout=0.0, base_options={"dropout": 0.0}, **options).double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = random_inputs(DIMS, len(present), present=torch.from_numpy(present), dtype=torch.float64)
    w = {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}
    return fusion, inputs, w


def projections(inputs, w):
    """(B, M, H), zeros where absent."""
    return np.stack([projected(x.pooled.numpy(), w, f"project.{m}") for m, x in inputs.items()], 1)


def imagined(h, here, w, blocks):
    """One sample: h (M, H), here (M,) -> (M, H)."""
    x = (h * here[:, None]).ravel()
    deltas = np.zeros_like(x)
    for k in range(blocks):
        name = f"imagination.blocks.{k}"
        deltas = deltas + linear(np.maximum(linear(x + deltas, w, f"{name}.0"), 0), w, f"{name}.2")
    return linear(x + deltas, w, "imagination.out").reshape(h.shape)


def test_what_is_missing_is_imagined_and_the_complete_set_is_fused():
    fusion, inputs, w = built(num_blocks=2, hidden_dim=5)
    h = projections(inputs, w)
    got = fusion.eval()(inputs)
    for b, here in enumerate(PRESENT):
        complete = np.where(here[:, None], h[b], imagined(h[b], here, w, 2))
        slots = [norm(complete[i], w, f"base.norms.{m}") for i, m in enumerate(DIMS)]
        expected = linear(np.concatenate(slots), w, "base.linear")
        np.testing.assert_allclose(got.pooled[b].detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    assert got.auxiliary_losses == {}
    assert {m: x.shape for m, x in got.tokens.items()} == {m: (*x.mask.shape, WIDTH) for m, x in inputs.items()}


@pytest.mark.parametrize("present", [PRESENT, np.ones((6, 3), dtype=bool)])
def test_each_present_modality_is_hidden_in_turn_and_guessed(present):
    fusion, inputs, w = built(present, num_blocks=3, hidden_dim=5, reconstruction_weight=0.5)
    h = projections(inputs, w)
    missed = []
    for b, here in enumerate(present):
        for m in range(3):
            left = here & (np.arange(3) != m)
            if here[m] and left.any():
                missed.append(((imagined(h[b], left, w, 3)[m] - h[b, m]) ** 2).mean())
    loss = fusion.train()(inputs).auxiliary_losses["reconstruction"]
    assert loss.item() == pytest.approx(0.5 * np.mean(missed), rel=1e-5)


def test_targets_are_not_drawn_towards_the_guess():
    fusion, inputs, _ = built(np.array([[1, 1, 0]], dtype=bool))
    fusion.train()(inputs).auxiliary_losses["reconstruction"].backward()
    before = fusion.project["text"].linear.weight.grad.clone()
    fusion.zero_grad()
    # the same loss with the guess of text alone: what is left of text's gradient comes from telling the image by it
    values = torch.stack([fusion.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)
    left = torch.tensor([[True, False, False]])
    guess = fusion.imagination(values, left)[:, 1]
    (0.5 * (guess - values[:, 1].detach()).square().mean()).backward()
    torch.testing.assert_close(fusion.project["text"].linear.weight.grad, before, rtol=1e-5, atol=1e-7)


def test_nothing_to_hide_is_no_loss():
    fusion, inputs, _ = built(np.eye(3, dtype=bool))
    loss = fusion.train()(inputs).auxiliary_losses["reconstruction"]
    loss.backward()
    assert loss == 0
    assert ReconstructionFusion({"text": 4}, WIDTH).imagination is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_blocks": 0}, "fusion.num_blocks=0"),
        ({"reconstruction_weight": 0.0}, "fusion.reconstruction_weight=0.0 must be above 0"),
        ({"base": "nothing"}, "fusion.base=nothing is no strategy"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        ReconstructionFusion(DIMS, WIDTH, **options)
