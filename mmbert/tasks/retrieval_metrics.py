"""Ranks of right answers in a whole split: recall@k, median rank and mean reciprocal rank between two modalities.

Each query of one modality ranks the gallery, the items of the other. The gallery holds each distinct cell once: a
picture with five captions is one picture, and all its captions are right. The rank of a query is one more than the
number of wrong items that are as similar as its best right one or more so: ties count against the model, so that one
that maps everything to one point has the last rank, not the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from mmbert.tasks.contrastive.batch import NO_CELL, same_cells

#: Cosines that differ by less are equal: beyond it the order is that of rounding.
TIE = 1e-6
#: So many queries are compared with the gallery at once.
QUERIES_AT_ONCE = 1024

Direction = tuple[int, int]


def recall_at(k: int) -> Callable[[Tensor], Tensor]:
    """ranks (N,) -> () share of them that are k or better."""
    return lambda ranks: (ranks <= k).double().mean()


def median_rank(ranks: Tensor) -> Tensor:
    """() the median, between the two in the middle of an even number."""
    return ranks.double().quantile(0.5)


def mean_reciprocal_rank(ranks: Tensor) -> Tensor:
    """() mean of 1 / rank."""
    return (1 / ranks.double()).mean()


SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "recall_at_1": recall_at(1),
    "recall_at_5": recall_at(5),
    "recall_at_10": recall_at(10),
    "median_rank": median_rank,
    "mrr": mean_reciprocal_rank,
}


class RankMemo:
    """The ranks of the last split, by direction, for the metrics that share them."""

    def __init__(self) -> None:
        self._split: tuple[Tensor, ...] = ()
        self._ranks: dict[Direction, Tensor] = {}

    def ranks(self, vectors: Tensor, present: Tensor, cells: Tensor, direction: Direction) -> Tensor:
        """As ``ranks_of``; computed once as long as the split is the same."""
        split = (vectors, present, cells)
        if len(self._split) != len(split) or not all(map(torch.equal, self._split, split)):
            self._split, self._ranks = split, {}
        if direction not in self._ranks:
            self._ranks[direction] = ranks_of(vectors, present, cells, direction)
        return self._ranks[direction]


class RetrievalScore(Metric):
    """A score of ranks, averaged over directions.

    Args:
        score: a key of ``SCORES``.
        directions: pairs of modalities by number, (query, gallery).
        memo: shared with the other metrics of a collection.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    vectors: list[Tensor]
    present: list[Tensor]
    cells: list[Tensor]

    def __init__(self, score: str, directions: Sequence[Direction], memo: RankMemo) -> None:
        super().__init__()
        self.score, self.directions, self.memo = score, list(directions), memo
        self.gallery_sizes: list[int] = []  # by modality, known once computed
        for state in ("vectors", "present", "cells"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, vectors: Tensor, present: Tensor, cells: Tensor) -> None:
        """Adds a batch, which may be empty: (B, M, E) of length 1, (B, M) bool, (B, K) int64."""
        self.vectors.append(vectors.detach())
        self.present.append(present.detach())
        self.cells.append(cells.detach())

    def compute(self) -> Tensor:
        """() float32, the mean over the directions that have a query; NaN if none has."""
        nothing = torch.tensor(math.nan, device=self.device)
        if len(self.vectors) == 0:
            return nothing
        split = dim_zero_cat(self.vectors), dim_zero_cat(self.present), dim_zero_cat(self.cells)
        self.gallery_sizes = [len(items) for items in galleries(split[1], split[2])]
        ranks = [self.memo.ranks(*split, direction) for direction in self.directions]
        found = [SCORES[self.score](rank) for rank in ranks if len(rank)]
        return torch.stack(found).mean().to(self.device, torch.float32) if found else nothing


class RankScore(RetrievalScore):
    """A score of which the lower is the better."""

    higher_is_better = False


def ranks_of(vectors: Tensor, present: Tensor, cells: Tensor, direction: Direction) -> Tensor:
    """The rank of each query's best right answer, from 1.

    Args:
        vectors: (N, M, E) of length 1.
        present: (N, M) bool.
        cells: (N, K) int64, K >= M: the first M are of the modalities; which share one are right for each other.
        direction: numbers of the query's and of the gallery's modality.

    Returns:
        (Q,) int64, of the distinct queries whose right answer is in the gallery.
    """
    query = direction[0]
    asked = distinct(present[:, query], cells[:, query] if cells.shape[1] > query else None)
    ranks = _ranked(vectors, present, cells, direction, asked)
    return ranks[ranks > 0]


def ranks_of_rows(vectors: Tensor, present: Tensor, cells: Tensor, direction: Direction) -> Tensor:
    """As ``ranks_of``, (N,) of all samples: 0 where one lacks the query, or the gallery its right answer."""
    asked = torch.nonzero(present[:, direction[0]]).squeeze(1)
    found = torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
    return found.index_copy(0, asked, _ranked(vectors, present, cells, direction, asked))


def _ranked(vectors: Tensor, present: Tensor, cells: Tensor, direction: Direction, asked: Tensor) -> Tensor:
    """(Q,) int64 ranks of the queries of some rows, asked (Q,); 0 where the gallery lacks the right answer."""
    query, gallery = direction
    kept = distinct(present[:, gallery], cells[:, gallery] if cells.shape[1] > gallery else None)
    items = vectors[kept, gallery].double()
    ranks = [torch.empty(0, dtype=torch.int64, device=vectors.device)]
    for some in asked.split(QUERIES_AT_ONCE):
        similar = vectors[some, query].double() @ items.T  # (q, G)
        right = right_answers(some, kept, present, cells, query, gallery)
        best = similar.masked_fill(~right, -math.inf).amax(1) if len(kept) else similar.new_zeros(len(some))
        ahead = (similar >= (best - TIE).unsqueeze(1)) & ~right
        ranks.append(torch.where(right.any(1), ahead.sum(1) + 1, 0))
    return torch.cat(ranks)


def galleries(present: Tensor, cells: Tensor) -> list[Tensor]:
    """The rows of the items of each modality: present (N, M) bool, cells (N, K) int64."""
    return [distinct(present[:, m], cells[:, m] if cells.shape[1] > m else None) for m in range(present.shape[1])]


def right_answers(asked: Tensor, kept: Tensor, present: Tensor, cells: Tensor, query: int, gallery: int) -> Tensor:
    """(q, G) bool: whether an item of the gallery belongs to a sample that is the query's, or the same as it.

    A picture that stands for all rows with its file has the captions of all of them.
    """
    found = same_cells(cells[asked], cells[kept])
    found |= asked.unsqueeze(1) == kept
    for m in (query, gallery):
        if cells.shape[1] <= m:
            return found
    rows = torch.nonzero(present[:, query] & present[:, gallery]).squeeze(1)
    if not len(rows):
        return found
    # a row links the queries that share its query's cell with the items that share its item's cell
    mine = same_cells(cells[asked, query].unsqueeze(1), cells[rows, query].unsqueeze(1))
    theirs = same_cells(cells[rows, gallery].unsqueeze(1), cells[kept, gallery].unsqueeze(1))
    mine |= asked.unsqueeze(1) == rows
    theirs |= rows.unsqueeze(1) == kept
    return found | ((mine.float() @ theirs.float()) > 0)


def distinct(present: Tensor, cells: Tensor | None) -> Tensor:
    """The samples that have the modality, the first of each cell: present (N,) bool, cells (N,) int64 -> rows."""
    rows = torch.nonzero(present).squeeze(1)
    if cells is None or not len(rows):
        return rows
    own = cells[rows]
    named = torch.nonzero(own != NO_CELL).squeeze(1)
    _, group = own[named].unique(return_inverse=True)
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(rows), device=rows.device)
    first.scatter_reduce_(0, group, named, "amin")
    return rows[torch.cat([torch.nonzero(own == NO_CELL).squeeze(1), first]).sort().values]
