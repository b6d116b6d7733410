"""Cached tokens: each distinct text is computed once, in its own length, and a full cache changes no number."""

import torch

from mmbert.core.types import Encoded
from mmbert.encoders.token_cache import TokenCache, row_keys

IDS = torch.tensor([[5, 6, 7], [8, 0, 0], [5, 6, 7], [9, 4, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 0]]).bool()


class Doubling:
    """Tokens are twice the ids; notes what it was asked to compute."""

    def __init__(self):
        self.asked = []

    def __call__(self, inputs):
        self.asked.append(inputs["input_ids"].tolist())
        return Encoded.from_tokens(2.0 * inputs["input_ids"].unsqueeze(-1), inputs["mask"])


def test_repeated_rows_are_computed_once_and_known_ones_never_again():
    cache, compute = TokenCache(1.0), Doubling()
    for _ in range(2):
        out = cache.encode({"input_ids": IDS, "mask": MASK}, compute)
        assert out.tokens.squeeze(-1).tolist() == [[10, 12, 14], [16, 0, 0], [10, 12, 14], [18, 8, 0]]
        assert out.pooled.squeeze(-1).tolist() == [12, 16, 12, 13]
    ((first, second, third),) = compute.asked
    assert sorted([first, second, third]) == [[5, 6, 7], [8, 0, 0], [9, 4, 0]]
    cache.encode({"input_ids": torch.tensor([[8, 3], [8, 1]]), "mask": torch.tensor([[1, 0], [1, 1]]).bool()}, compute)
    assert compute.asked[1] == [[8, 1]]  # what stands behind a text's end is no part of it


def test_new_rows_are_computed_no_longer_than_they_are():
    compute = Doubling()
    TokenCache(1.0).encode({"input_ids": IDS[1:2], "mask": MASK[1:2]}, compute)
    assert compute.asked == [[[8]]]


def test_a_full_cache_computes_the_rest_every_time():
    cache, compute = TokenCache(2 * 4 * 2**-20), Doubling()  # two floats: one token and its vector
    for _ in range(2):
        out = cache.encode({"input_ids": IDS, "mask": MASK}, compute)
        assert out.pooled.squeeze(-1).tolist() == [12, 16, 12, 13]
    assert len(cache.rows) == 1 and cache.left == 0
    assert [8, 0, 0] not in compute.asked[1] and [5, 6, 7] in compute.asked[1]


def test_keys_are_the_real_tokens_of_every_tensor():
    keys = row_keys(
        {"input_ids": IDS, "mask": MASK, "type_ids": torch.tensor([[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])}
    )
    assert len(set(keys)) == 4
    assert len(set(row_keys({"input_ids": IDS, "mask": MASK}))) == 3
