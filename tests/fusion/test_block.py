"""BLOCK against NumPy: sums of products chunk by chunk, and the block-superdiagonal tensor of its paper."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, assert_fuses_to, build_with_weights, linear, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.block import BlockFusion


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
                    x = projected(v, w, f"project.{m}")[c * size : (c + 1) * size]
                    term *= x @ w[f"factors.{m}.weight"][c, :, r, j] + w[f"factors.{m}.bias"][c, r, j]
                y[j] += term
        root = np.where(y < 0, -1, 1) * np.sqrt(np.abs(y))
        parts.append(root / np.sqrt((root**2).sum()))
    return linear(np.concatenate(parts), w, "out")


@pytest.mark.parametrize(("chunks", "rank"), [(1, 1), (3, 2)])
def test_block_equals_the_sums_of_products_chunk_by_chunk(chunks, rank):
    fusion, w = build_with_weights(BlockFusion, hidden_dim=12, chunks=chunks, rank=rank)
    inputs, rows = samples()
    assert_fuses_to(fusion, inputs, [block_by_hand(row, w, chunks, rank) for row in rows])


def test_block_of_two_modalities_is_a_block_superdiagonal_tensor():
    dims, chunks, rank, size = {"text": 4, "image": 3}, 3, 2, 4
    fusion, w = build_with_weights(
        BlockFusion, dims, hidden_dim=chunks * size, chunks=chunks, rank=rank, normalize=False
    )
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
    assert_fuses_to(fusion, inputs, expected)


def test_chunks_and_ranks_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="chunks=5 must divide fusion.hidden_dim=12"):
        BlockFusion(DIMS, WIDTH, hidden_dim=12, chunks=5)
    with pytest.raises(ConfigError, match="fusion.rank=0 must be at least 1"):
        BlockFusion(DIMS, WIDTH, rank=0)
