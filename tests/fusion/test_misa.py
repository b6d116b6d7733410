"""MISA against NumPy, written from its formulas, with modalities missing."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from fusion_harness import DIMS, linear, norm
from mmbert.core.errors import ConfigError
from mmbert.fusion import misa
from mmbert.fusion.misa import MISAFusion
from mmbert.testing import random_inputs

PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=bool)
WIDTH = 8


def built(present=PRESENT, **options):
    torch.manual_seed(3)
    fusion = MISAFusion(DIMS, WIDTH, dropout=0.0, **options).double()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    inputs = random_inputs(DIMS, len(present), present=torch.from_numpy(present), dtype=torch.float64)
    w = {name: tensor.detach().numpy() for name, tensor in fusion.state_dict().items()}
    return fusion, inputs, w


def parts(inputs, w):
    """u, c and p, each {modality: (B, H)}."""
    u = {
        m: norm(np.maximum(linear(x.pooled.numpy(), w, f"project.{m}.0"), 0), w, f"project.{m}.2")
        for m, x in inputs.items()
    }
    return (
        u,
        {m: expit(linear(x, w, "shared")) for m, x in u.items()},
        {m: expit(linear(x, w, f"private.{m}")) for m, x in u.items()},
    )


def transformer(x, w):
    """One layer over the rows of x (N, H), norms behind, two heads."""
    name = "transformer.self_attn"
    q, k, v = np.split(x @ w[f"{name}.in_proj_weight"].T + w[f"{name}.in_proj_bias"], 3, axis=1)
    half = WIDTH // 2
    heads = [softmax(q[:, s] @ k[:, s].T / math.sqrt(half), -1) @ v[:, s] for s in (slice(0, half), slice(half, WIDTH))]
    x = norm(x + linear(np.concatenate(heads, 1), w, f"{name}.out_proj"), w, "transformer.norm1")
    fed = linear(np.maximum(linear(x, w, "transformer.linear1"), 0), w, "transformer.linear2")
    return norm(x + fed, w, "transformer.norm2")


@pytest.mark.parametrize("training", [False, True])
def test_shared_and_private_parts_meet_in_a_transformer(training):
    fusion, inputs, w = built()
    _, c, p = parts(inputs, w)
    got = fusion.train(training)(inputs).pooled.detach().numpy()
    for b, here in enumerate(PRESENT):
        slots = np.stack([*(p[m][b] for m in DIMS), *(c[m][b] for m in DIMS)])  # (2M, H)
        there = np.tile(here, 2)
        joined = np.zeros_like(slots)
        joined[there] = transformer(slots[there], w)
        expected = linear(np.maximum(linear(joined.ravel(), w, "mlp.0"), 0), w, "mlp.3")
        np.testing.assert_allclose(got[b], expected, rtol=1e-9, atol=1e-9)


def cmd(a, b):
    total = np.linalg.norm(a.mean(0) - b.mean(0))
    for k in range(2, 6):
        total += np.linalg.norm(((a - a.mean(0)) ** k).mean(0) - ((b - b.mean(0)) ** k).mean(0))
    return total


def overlap(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    a, b = (x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-6) for x in (a, b))
    return ((a.T @ b) ** 2).mean()


@pytest.mark.parametrize("present", [PRESENT, np.ones((6, 3), dtype=bool)])
def test_its_losses_are_those_of_the_paper(present):
    fusion, inputs, w = built(present, sim_weight=0.7, diff_weight=0.2, recon_weight=1.5)
    u, c, p = parts(inputs, w)
    here = dict(zip(DIMS, present.T, strict=True))
    both = {(m, j): here[m] & here[j] for m, j in combinations(DIMS, 2)}
    similarity = np.mean([cmd(c[m][s], c[j][s]) for (m, j), s in both.items()])
    difference = sum(overlap(c[m][here[m]], p[m][here[m]]) for m in DIMS)
    difference += sum(overlap(p[m][s], p[j][s]) for (m, j), s in both.items())
    missed = [((u[m] - linear(c[m] + p[m], w, f"reconstruct.{m}")) ** 2)[here[m]].mean() for m in DIMS]
    got = {name: loss.item() for name, loss in fusion.train()(inputs).auxiliary_losses.items()}
    expected = {"similarity": 0.7 * similarity, "difference": 0.2 * difference, "reconstruction": 1.5 * np.mean(missed)}
    assert got == pytest.approx(expected, rel=1e-9)
    assert fusion.eval()(inputs).auxiliary_losses == {}


def slopes(a, b):
    """The derivative of the overlap to each number of a (B, H), by central differences."""
    given = np.zeros_like(a)
    for place in np.ndindex(*a.shape):
        step = np.zeros_like(a)
        step[place] = 1e-6
        given[place] = (overlap(a + step, b) - overlap(a - step, b)) / 2e-6
    return given


@pytest.mark.parametrize("constant", [False, True])
def test_the_gradient_flows_through_the_lengths_unless_they_are_taken_for_constants(constant):
    generator = np.random.default_rng(5)
    a, b = generator.uniform(size=(2, 7, 4))
    first = torch.from_numpy(a).requires_grad_()
    misa.overlap(first, torch.from_numpy(b), torch.ones(7, dtype=torch.bool), constant).backward()
    got, centred = first.grad.numpy(), a - a.mean(0)
    right = np.allclose(got, slopes(a, b), rtol=1e-4, atol=1e-8)
    radial = (got * centred).sum()  # above 0 = a step against the gradient makes the vectors shorter
    if constant:
        assert not right and radial > 0.1 * overlap(a, b)
    else:
        assert right and abs(radial) < 1e-5 * overlap(a, b)


def test_the_option_reaches_the_loss():
    lengths = {}
    for constant in (False, True):
        fusion, inputs, _ = built(constant_lengths=constant)
        fusion.train()(inputs).auxiliary_losses["difference"].backward()
        lengths[constant] = fusion.shared.weight.grad.norm().item()
    assert lengths[True] != pytest.approx(lengths[False], rel=0.01)


def test_batches_without_pairs_lose_nothing_and_have_finite_gradients():
    alone = np.eye(3, dtype=bool)
    fusion, inputs, _ = built(alone)
    losses = fusion.train()(inputs).auxiliary_losses
    assert losses["similarity"] == 0 and losses["difference"] == 0 and losses["reconstruction"] > 0
    sum(losses.values()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads=3 must divide"),
        ({"sim_weight": -1.0}, "sim_weight"),
        ({"recon_weight": 0.0}, "above 0"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        MISAFusion(DIMS, WIDTH, **options)
