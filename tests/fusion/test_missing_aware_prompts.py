"""The prompted transformer against NumPy on the real tokens, with the prompts of each sample's pattern."""

import math

import numpy as np
import pytest
import torch
from scipy.special import erf

from mmbert.core.errors import ConfigError
from mmbert.fusion.missing_aware_prompts import MissingAwarePromptsFusion, pattern_of
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 8


def built(**options):
    torch.manual_seed(3)
    fusion = MissingAwarePromptsFusion(DIMS, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion


def norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def self_attention(x, w, name, heads):
    q = linear(x, w, f"{name}.query")
    k, v = np.split(linear(x, w, f"{name}.key_value"), 2, axis=-1)
    mixed = []
    for part in np.split(np.arange(WIDTH), heads):
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(WIDTH / heads))
        mixed.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
    return linear(np.concatenate(mixed, -1), w, f"{name}.out")


def by_hand(real, pattern, w, layers, heads, prompts):
    """real {modality: (1 + L, D) vector and real tokens} -> (H,) and {modality: (L, H)}."""
    x = np.concatenate(
        [w["summary"][None]]
        + [
            linear(norm(t, w, f"project.{m}.norm"), w, f"project.{m}.linear") + w[f"embedding.{m}"]
            for m, t in real.items()
        ]
    )
    for n in range(layers):
        if n < len(prompts):
            x = np.concatenate([prompts[n][pattern], x])
        x = x + self_attention(norm(x, w, f"norms.{n}"), w, f"layers.{n}.attention", heads)
        block = f"layers.{n}.feed_forward"
        inner = linear(norm(x, w, f"{block}.0"), w, f"{block}.1")
        x = x + linear(inner * (1 + erf(inner / math.sqrt(2))) / 2, w, f"{block}.4")
    x = x[sum(len(p[pattern]) for p in prompts) :]
    places = np.cumsum([1] + [len(t) for t in real.values()])
    tokens = {m: x[start + 1 : start + len(t)] for (m, t), start in zip(real.items(), places, strict=False)}
    return linear(norm(x[0], w, "final_norm"), w, "out"), tokens


@pytest.mark.parametrize(("layers", "prompted", "count"), [(1, 1, 2), (3, 2, 3), (2, 0, 4), (2, 2, 0)])
def test_it_equals_the_formula_on_the_real_tokens(layers, prompted, count):
    fusion = built(num_layers=layers, num_heads=2, prompts=count, prompt_layers=prompted)
    inputs = random_inputs(DIMS, len(PRESENT), present=torch.tensor(PRESENT).bool(), dtype=torch.float64)
    w = {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}
    fused = fusion(inputs)
    for b, here in enumerate(PRESENT):
        real = {
            m: np.concatenate([x.pooled[b].numpy()[None], x.tokens[b][x.mask[b]].numpy()])
            for (m, x), there in zip(inputs.items(), here, strict=True)
            if there
        }
        pattern = here[0] + 2 * here[1] + 4 * here[2] - 1
        pooled, tokens = by_hand(real, pattern, w, layers, 2, w.get("prompts", np.zeros((0, 7, 0, WIDTH))))
        np.testing.assert_allclose(fused.pooled[b].detach(), pooled, atol=1e-10)
        for m, expected in tokens.items():
            np.testing.assert_allclose(fused.tokens[m][b][inputs[m].mask[b]].detach(), expected, atol=1e-10)


def test_each_pattern_has_prompts_of_its_own_and_they_alone_learn_from_it():
    every = torch.tensor([[a, b, c] for c in (0, 1) for b in (0, 1) for a in (0, 1)][1:]).bool()
    assert pattern_of(every).tolist() == list(range(7))
    fusion = MissingAwarePromptsFusion(DIMS, WIDTH)
    assert all(torch.equal(fusion.prompts[:, 0], fusion.prompts[:, n]) for n in range(7))  # alike at first
    fusion(random_inputs(DIMS, 2, present=torch.tensor([[1, 0, 1], [0, 1, 0]]).bool())).pooled.sum().backward()
    moved = (fusion.prompts.grad != 0).flatten(2).any(2).any(0)
    assert moved.nonzero().flatten().tolist() == [1, 4]


def test_options_that_are_refused():
    with pytest.raises(ConfigError, match="num_heads=3 must divide"):
        MissingAwarePromptsFusion(DIMS, 8, num_heads=3)
    with pytest.raises(ConfigError, match="prompt_layers=3 must be from 0 to num_layers=2"):
        MissingAwarePromptsFusion(DIMS, 8, prompt_layers=3)
    with pytest.raises(ConfigError, match="M=9 is above 8"):
        MissingAwarePromptsFusion({f"m{n}": 2 for n in range(9)}, 8)
