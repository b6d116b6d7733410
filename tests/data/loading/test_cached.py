"""Stored tokens as a batch: padded and masked, in float32, with rows that were not stored put in their places."""

import numpy as np
import torch

from mmbert.core.types import Encoded
from mmbert.data.loading.cached import (
    BFLOAT16,
    FRESH,
    POOLED,
    TOKENS,
    StoredTokens,
    as_float,
    collate_stored,
    insert_rows,
    stored_batch,
)


class Numbers:
    """A processor of single numbers."""

    def collate(self, prepared):
        return {"value": torch.tensor(prepared), "mask": torch.ones(len(prepared), 1, dtype=torch.bool)}


def stored(*tokens, pooled):
    return StoredTokens(np.array(tokens, np.float16), np.array(pooled, np.float16))


def test_stored_rows_are_padded_and_the_others_are_left_to_the_encoder():
    values = [stored([1, 1], [3, 3], pooled=[2, 2]), 7.0, None, stored([5, 6], pooled=[5, 6])]
    inputs = collate_stored(values, Numbers())
    assert inputs["mask"].tolist() == [[True, True], [False, False], [False, False], [True, False]]
    assert inputs[TOKENS].tolist() == [[[1, 1], [3, 3]], [[0, 0]] * 2, [[0, 0]] * 2, [[5, 6], [0, 0]]]
    assert inputs[POOLED].tolist() == [[2, 2], [0, 0], [0, 0], [5, 6]] and inputs[POOLED].dtype == torch.float32
    assert inputs[FRESH].tolist() == [1] and inputs["fresh.value"].tolist() == [7.0]
    assert FRESH not in collate_stored([values[0], None], Numbers())


def test_without_tokens_each_vector_is_its_only_token():
    values = [StoredTokens(None, np.array([1.0, 2.0], np.float32)), None]
    encoded = stored_batch(collate_stored(values, Numbers()))
    assert encoded.tokens.tolist() == [[[1, 2]], [[0, 0]]] and encoded.mask.tolist() == [[True], [False]]
    assert encoded.pooled.tolist() == [[1, 2], [0, 0]]


def test_bits_of_bfloat16_become_their_numbers():
    numbers = torch.tensor([1.5, -2.0, 0.0]).bfloat16()
    assert as_float(numbers.view(torch.uint16).numpy().astype(BFLOAT16)).tolist() == [1.5, -2.0, 0.0]


def test_computed_rows_replace_others_whichever_are_longer():
    def batch(values, mask):
        return Encoded.from_tokens(torch.tensor(values).unsqueeze(-1), torch.tensor(mask).bool())

    held = batch([[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]], [[1, 1], [0, 0], [1, 0]])
    for fresh, expected in (
        (batch([[7.0, 8.0, 9.0]], [[1, 1, 1]]), [[1, 2, 0], [7, 8, 9], [3, 0, 0]]),
        (batch([[7.0]], [[1]]), [[1, 2], [7, 0], [3, 0]]),
    ):
        out = insert_rows(held, torch.tensor([1]), fresh)
        assert out.tokens.squeeze(-1).tolist() == expected
        assert out.mask.sum(1).tolist() == [2, fresh.mask.shape[1], 1]
        assert out.pooled.squeeze(-1).tolist() == [1.5, fresh.pooled.item(), 3.0]
