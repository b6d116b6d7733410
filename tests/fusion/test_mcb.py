"""MCB against NumPy: the count sketch of the outer product, bins and signs, circular convolution."""

from itertools import product

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, linear, norm, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.mcb import CountSketch, MCBFusion, convolved
from mmbert.testing import random_inputs

PAIR = {"text": 4, "image": 3}


def sketch_by_hand(x, bins, h, s):
    """The count sketch of a vector, element by element."""
    out = np.zeros(bins)
    for i, value in enumerate(x):
        out[h[i]] += s[i] * value
    return out


def sketch_of(fusion, m):
    return fusion.sketch[m].bin_of.numpy(), fusion.sketch[m].sign_of.numpy().astype(float)


@pytest.mark.parametrize("bins", [8, 7, 64])  # even, odd, and with bins that stay empty
@pytest.mark.parametrize("dims", [PAIR, DIMS])
def test_it_is_the_count_sketch_of_the_outer_product_of_the_present(dims, bins):
    fusion, w = build_with_weights(MCBFusion, dims, sketch_dim=bins, sketch_seed=5)
    inputs, rows = samples(dims)
    expected = []
    for row in rows:
        c = np.zeros(bins)
        for places in product(*[range(dims[m]) for m in row]):  # the outer product, never formed by the strategy
            value, place = 1.0, 0
            for m, i in zip(row, places, strict=True):
                h, s = sketch_of(fusion, m)
                value *= s[i] * norm(row[m], w, f"norms.{m}")[i]
                place += h[i]
            c[place % bins] += value
        roots = np.sign(c) * np.sqrt(np.abs(c))
        expected.append(linear(roots / np.linalg.norm(roots), w, "out"))
    assert_fuses_to(fusion, inputs, expected, atol=1e-6)


def test_the_sketch_is_that_of_the_formula_and_convolution_is_circular():
    generator = torch.Generator().manual_seed(1)
    first, second = CountSketch(20, 8, generator), CountSketch(6, 8, generator)
    x, y = torch.randn(3, 20, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    a, b = (
        np.stack([sketch_by_hand(row, 8, k.bin_of.numpy(), k.sign_of.numpy()) for row in v.numpy()])
        for k, v in ((first, x), (second, y))
    )
    np.testing.assert_allclose(first(x), a, atol=1e-12)
    circular = np.stack([[sum(a[n, j] * b[n, (k - j) % 8] for j in range(8)) for k in range(8)] for n in range(3)])
    here, gone = torch.ones(3, dtype=torch.bool), torch.tensor([False, True, True])
    np.testing.assert_allclose(convolved([first(x), second(y)], [here, here]), circular, atol=1e-12)
    left = convolved([first(x), second(y)], [here, gone])  # row 0 lacks the second: its first is left as it is
    np.testing.assert_allclose(left, np.concatenate([a[:1], circular[1:]]), atol=1e-12)


def test_the_scalar_product_of_sketches_is_right_on_average_over_every_possible_draw():
    """All 3² bins and 2² signs for D = 2: the expectation is exact, and no single draw need be."""
    sketch = CountSketch(2, 3, torch.Generator())
    x, y = torch.tensor([[1.5, -2.0], [0.5, 3.0]], dtype=torch.float64), torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    found = []
    for bins in product(range(3), repeat=2):
        for signs in product((-1, 1), repeat=2):
            sketch.bin_of, sketch.sign_of = torch.tensor(bins), torch.tensor(signs, dtype=torch.int8)
            found.append(sketch(x) @ sketch(y).T)
    torch.testing.assert_close(torch.stack(found).mean(0), x @ y.T)
    assert max((one - x @ y.T).abs().max() for one in found) > 1


def test_bins_and_signs_are_drawn_evenly_and_for_each_modality_anew():
    fusion = MCBFusion({"text": 6000, "image": 6000}, 2, sketch_dim=6)
    (h, s), (other_h, other_s) = sketch_of(fusion, "text"), sketch_of(fusion, "image")
    counts = np.bincount(h, minlength=6)
    assert counts.sum() == 6000 and len(counts) == 6 and abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert set(s) == {-1.0, 1.0} and abs(s.mean()) < 5 / np.sqrt(6000)
    assert abs((h == other_h).mean() - 1 / 6) < 0.03 and abs((s * other_s).mean()) < 5 / np.sqrt(6000)


def test_the_draw_depends_on_its_own_seed_alone_and_is_saved():
    torch.manual_seed(1)
    first = MCBFusion(PAIR, WIDTH, sketch_dim=64)
    torch.manual_seed(2)
    second = MCBFusion(PAIR, WIDTH, sketch_dim=64)
    other = MCBFusion(PAIR, WIDTH, sketch_dim=64, sketch_seed=1)
    assert torch.equal(first.sketch["text"].bin_of, second.sketch["text"].bin_of)
    assert not torch.equal(first.sketch["text"].bin_of, other.sketch["text"].bin_of)
    other.load_state_dict(first.state_dict())
    inputs = random_inputs(PAIR)
    assert torch.equal(other.eval()(inputs).pooled, first.eval()(inputs).pooled)


@pytest.mark.parametrize("present", [[[1, 1, 1, 1, 1]], [[1, 1, 0, 0, 0]]])
def test_bins_that_nothing_is_thrown_into_stay_empty_in_float32(present):
    """Five vectors of 2 fill at most 32 of 4096 bins; without a threshold the others would hold round-off."""
    dims = dict.fromkeys(["a", "b", "c", "d", "e"], 2)
    generator = torch.Generator().manual_seed(0)
    here = torch.tensor(present).bool()
    sketches = [CountSketch(d, 4096, generator)(torch.randn(1, d, generator=generator)) for d in dims.values()]
    c = convolved(sketches, list(here.T))
    assert 0 < (c != 0).sum() <= 2 ** int(here.sum())
    exact = convolved([sketch.double() for sketch in sketches], list(here.T))
    torch.testing.assert_close(c.double(), exact, rtol=1e-5, atol=1e-6)


def test_fewer_than_two_bins_are_refused():
    with pytest.raises(ConfigError, match="fusion.sketch_dim=1 must be 2 or more"):
        MCBFusion(DIMS, sketch_dim=1)
