"""The best stretch of tokens is the one that trying them all finds."""

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.spans.best_spans import IMPOSSIBLE, best_spans, covering_tokens, token_extents


@given(seed=st.integers(0, 999), length=st.integers(1, 9), longest=st.integers(1, 12))
@settings(deadline=None, max_examples=80)
def test_it_is_the_best_of_all(seed, length, longest):
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(3, length, generator=generator), torch.randn(3, length, generator=generator)
    valid = torch.rand(3, length, generator=generator) < 0.7
    score, first, last = best_spans(start, end, valid, longest)
    for row in range(3):
        places = [place for place in range(length) if valid[row, place]]
        pairs = [(a, b) for a, b in itertools.product(places, places) if a <= b < a + longest]
        if not pairs:
            assert score[row] == IMPOSSIBLE
            continue
        best = max(pairs, key=lambda pair: float(start[row, pair[0]] + end[row, pair[1]]))
        assert (int(first[row]), int(last[row])) == best
        assert torch.isclose(score[row], start[row, best[0]] + end[row, best[1]])


def test_an_answer_covers_tokens_that_it_touches_and_may_be_cut():
    offsets, words = [[0, 0], [0, 2], [2, 4], [5, 9], [0, 0]], [-1, 0, 0, 1, -1]
    extents = token_extents({"offsets": torch.tensor(offsets), "word_ids": torch.tensor(words)}, seconds=False)
    assert extents.tolist() == [[-1, -1], [0, 2], [2, 4], [5, 9], [-1, -1]]
    assert covering_tokens(extents, 0, 4, 9) == (1, 2) and covering_tokens(extents, 3, 6, 9) == (2, 3)
    assert covering_tokens(extents, 5, 12, 9) is None and covering_tokens(extents, 10, 12, 12) is None
    times = token_extents({"times": torch.tensor([[0, 0.1], [0.1, 0.2]], dtype=torch.float64)}, seconds=True)
    assert covering_tokens(times, 0.05, 0.12, 0.2) == (0, 1) and np.isclose(times[1, 1], 0.2)
