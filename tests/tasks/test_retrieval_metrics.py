"""Ranks of right answers against a calculation with NumPy, sample by sample."""

import copy

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from mmbert.tasks.retrieval_metrics import SCORES, RankMemo, RetrievalScore, ranks_of


def told(vectors, present, cells, query, gallery):
    """The ranks by loops: groups of equal cells are one query, or one item; an item is right by any common row."""
    n = len(vectors)

    def groups(m):
        found = {}
        for row in range(n):
            if present[row, m]:
                found.setdefault(cells[row, m] or f"row {row}", []).append(row)
        return list(found.values())

    def same(i, j):
        return i == j or any(cells[i, k] and cells[i, k] == cells[j, k] for k in range(cells.shape[1]))

    ranks = []
    items = groups(gallery)
    for asked in groups(query):
        common = [any(row in item and present[row, gallery] for row in asked) for item in items]
        right = [c or same(asked[0], item[0]) for c, item in zip(common, items, strict=True)]
        similar = [float(vectors[asked[0], query] @ vectors[item[0], gallery]) for item in items]
        if any(right):
            best = max(s for s, r in zip(similar, right, strict=True) if r)
            ranks.append(1 + sum(s >= best - 1e-6 for s, r in zip(similar, right, strict=True) if not r))
    return ranks


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(0, 999))
def test_ranks_equal_numpy_with_ties_duplicates_and_gaps(n, seed):
    draw = np.random.default_rng(seed)
    vectors = draw.integers(-1, 2, (n, 3, 2)).astype(float)  # many ties
    present = draw.random((n, 3)) < 0.8
    cells = draw.integers(0, 4, (n, 4))  # 0 = an empty cell
    # a picture is the same vector in all of its rows
    for m in range(3):
        for cell in range(1, 4):
            rows = np.flatnonzero(cells[:, m] == cell)
            if len(rows):
                vectors[rows, m] = vectors[rows[0], m]
    for direction in ((0, 1), (1, 0), (2, 0)):
        found = ranks_of(tensor(vectors), tensor(present), tensor(cells), direction)
        assert sorted(found.tolist()) == sorted(told(vectors, present, cells, *direction))


def test_scores_by_hand():
    ranks = tensor([1, 1, 3, 12])
    found = {name: float(score(ranks)) for name, score in SCORES.items()}
    assert found == {
        "recall_at_1": 0.5,
        "recall_at_5": 0.75,
        "recall_at_10": 0.75,
        "median_rank": 2.0,
        "mrr": (1 + 1 + 1 / 3 + 1 / 12) / 4,
    }


def test_a_picture_with_five_captions_is_one_item_and_all_its_captions_are_right():
    # two pictures, three captions: rows (p, a), (p, b), (q, c); from p the caption b is nearer than a
    cells = tensor([[1, 11], [1, 12], [2, 13]])
    image, caption = tensor([[1.0, 0], [1, 0], [0, 1]]), tensor([[0.0, 1], [1, 0], [0.6, 0.8]])
    vectors = torch.stack([image, caption], 1)
    there = torch.ones(3, 2).bool()
    assert ranks_of(vectors, there, cells, (0, 1)).tolist() == [1, 2]  # q's caption comes after a
    assert ranks_of(vectors, there, cells, (1, 0)).tolist() == [2, 1, 1]  # a lies at q


def test_the_memo_forgets_another_split():
    memo = RankMemo()
    metric = RetrievalScore("mrr", [(0, 1)], memo)
    there, cells = torch.ones(3, 2).bool(), torch.zeros(3, 2).long()
    values = []
    for order in ([0, 1, 2], [1, 0, 2], [0, 1, 2]):
        metric.update(torch.stack([torch.eye(3), torch.eye(3)[order]], 1), there, cells)
        values.append(round(float(copy.deepcopy(metric).compute()), 4))
        metric.reset()
    # swapped: a wrong item is at 1, the right one at 0, and so is the third, a tie: ranks 3, 3 and 1
    assert values == [1.0, round((1 / 3 + 1 / 3 + 1) / 3, 4), 1.0]
