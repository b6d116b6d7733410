"""BLOCK, tensor fusion and low-rank fusion against NumPy, written from the papers' tensors, with modalities missing."""

import math

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.block import BlockFusion
from mmbert.fusion.low_rank import LowRankFusion
from mmbert.fusion.tensor_fusion import TensorFusion, default_width
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


def normed(x, w, name):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def projected(m, v, w):
    return linear(normed(v, w, f"project.{m}.norm"), w, f"project.{m}.linear")


def assert_agrees(fusion, inputs, expected):
    np.testing.assert_allclose(fusion(inputs).pooled.detach(), np.stack(expected), rtol=1e-9, atol=1e-9)


def block_by_hand(row, w, chunks, rank):
    """One sample: for each chunk, rank and output number the product over the modalities, then root, length, map."""
    size = w["out.weight"].shape[1] // chunks
    parts = []
    for c in range(chunks):
        y = np.zeros(size)
        for r in range(rank):
            for j in range(size):
                term = 1.0
                for m, v in row.items():
                    x = projected(m, v, w)[c * size : (c + 1) * size]
                    term *= x @ w[f"factors.{m}.weight"][c, :, r, j] + w[f"factors.{m}.bias"][c, r, j]
                y[j] += term
        root = np.where(y < 0, -1, 1) * np.sqrt(np.abs(y))
        parts.append(root / np.sqrt((root**2).sum()))
    return linear(np.concatenate(parts), w, "out")


@pytest.mark.parametrize(("chunks", "rank"), [(1, 1), (3, 2)])
def test_block_equals_the_sums_of_products_chunk_by_chunk(chunks, rank):
    fusion, w = built(BlockFusion, hidden_dim=12, chunks=chunks, rank=rank)
    inputs, rows = samples()
    assert_agrees(fusion, inputs, [block_by_hand(row, w, chunks, rank) for row in rows])


def test_block_of_two_modalities_is_a_block_superdiagonal_tensor():
    dims, chunks, rank, size = {"text": 4, "image": 3}, 3, 2, 4
    fusion, w = built(BlockFusion, dims, hidden_dim=chunks * size, chunks=chunks, rank=rank, normalize=False)
    for m in dims:
        fusion.factors[m].bias.data.zero_()  # the paper's tensor has no biases
    core = np.zeros([chunks * size] * 3)  # first input, second input, output
    for c in range(chunks):
        block = slice(c * size, (c + 1) * size)
        left, right = (w[f"factors.{m}.weight"][c] for m in dims)
        core[block, block, block] = np.einsum("irk,jrk->ijk", left, right)
    inputs, rows = samples(dims, [[1, 1], [1, 1]])
    expected = []
    for row in rows:
        first, second = (linear(row[m], w, f"project.{m}.linear") for m in dims)
        y = np.einsum("ijk,i,j->k", core, first, second).reshape(chunks, size)
        root = np.sign(y) * np.sqrt(np.abs(y))
        expected.append(linear((root / np.linalg.norm(root, axis=1, keepdims=True)).ravel(), w, "out"))
    assert_agrees(fusion, inputs, expected)


def outer(vectors):
    """Any number of vectors -> their outer product, one axis each."""
    product = np.ones(())
    for vector in vectors:
        product = np.multiply.outer(product, vector)
    return product


def test_tensor_fusion_equals_the_outer_product_with_ones_and_two_layers():
    fusion, w = built(TensorFusion, hidden_dim=3)
    inputs, rows = samples()
    expected = []
    for row in rows:
        ones = [np.append(np.maximum(projected(m, row[m], w), 0) if m in row else np.zeros(3), 1.0) for m in DIMS]
        hidden = np.maximum(linear(outer(ones).ravel(), w, "first"), 0)
        expected.append(np.maximum(linear(hidden, w, "second"), 0))
    assert np.stack(expected).any(1).all(), "ReLU leaves something to compare in each sample"
    assert_agrees(fusion, inputs, expected)


@pytest.mark.parametrize(("modalities", "out_dim", "width"), [(1, 128, 128), (2, 128, 128), (3, 128, 32), (3, 8, 8)])
def test_the_tensor_is_as_wide_as_fits(modalities, out_dim, width):
    assert default_width(modalities, out_dim) == width


def test_the_default_width_of_many_modalities_is_the_largest_that_fits():
    for modalities, width in ((4, 12), (5, 7)):
        assert default_width(modalities, 128) == width
        assert (width + 1) ** modalities <= 36_000 < (width + 2) ** modalities


def test_each_set_of_modalities_has_the_same_share_of_the_tensors_variance():
    torch.manual_seed(0)
    fusion = TensorFusion(DIMS, 400, hidden_dim=8)
    cube = fusion.first.weight.detach().reshape(400, 9, 9, 9)
    # the entries of h have a mean square of 1/2: 8 · 1/2 of one modality, 64 · 1/4 of two, 512 · 1/8 of three
    one, two, three = cube[:, :8, 8, 8], cube[:, :8, :8, 8], cube[:, :8, :8, :8]
    for part, size in ((cube[:, 8, 8, 8], 1), (one, 4), (two, 16), (three, 64)):
        assert part.square().mean().item() * size == pytest.approx(1 / 8, rel=0.3 if size == 1 else 0.1)


@pytest.mark.parametrize("rank", [1, 3])
def test_low_rank_equals_the_contraction_with_the_full_tensor(rank):
    fusion, w = built(LowRankFusion, rank=rank)
    text, image, audio = (w[f"factors.{m}"] for m in DIMS)  # (R, D_m + 1, H)
    full = np.einsum("rih,rjh,rkh->ijkh", text, image, audio)
    inputs, rows = samples()
    expected = []
    for row in rows:
        ones = [np.append(normed(row[m], w, f"norms.{m}") if m in row else np.zeros(d), 1.0) for m, d in DIMS.items()]
        expected.append(np.einsum("ijkh,ijk->h", full, outer(ones)) + w["bias"])
    assert_agrees(fusion, inputs, expected)


@pytest.mark.parametrize("kind", [BlockFusion, LowRankFusion, TensorFusion])
def test_the_output_begins_with_a_variance_of_about_one(kind):
    torch.manual_seed(0)
    dims = {"text": 48, "image": 64, "audio": 32}
    found = [kind(dims, 64).eval()(random_inputs(dims, 64, seed=seed)).pooled.square().mean().item() for seed in (0, 1)]
    assert 0.25 < np.mean(found) < 2.5


def test_options_that_do_not_fit_are_told():
    with pytest.raises(ConfigError, match="chunks=5 must divide fusion.hidden_dim=12"):
        BlockFusion(DIMS, WIDTH, hidden_dim=12, chunks=5)
    with pytest.raises(ConfigError, match="fusion.rank=0 must be at least 1"):
        BlockFusion(DIMS, WIDTH, rank=0)
    with pytest.raises(ConfigError, match="fusion.rank=0 must be at least 1"):
        LowRankFusion(DIMS, WIDTH, rank=0)
    with pytest.raises(ConfigError, match="hidden_dim=0 must be at least 1, or null"):
        TensorFusion(DIMS, WIDTH, hidden_dim=0)
    with pytest.raises(ConfigError, match=r"256\^3 = 16,777,216 numbers for 3 modalities, and 4,194,304 is the most"):
        TensorFusion(DIMS, WIDTH, hidden_dim=255)
    assert math.prod([161] * 3) < 4_194_304 and TensorFusion(DIMS, 1, hidden_dim=160).first.in_features == 161**3
