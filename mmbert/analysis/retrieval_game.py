"""The games of a retrieval task: how well the modalities of a sample find each other, shared out to them.

A sample's worth with a subset S of its modalities is the mean, over all directions from one of its modalities to
another, of 1 / rank of the right answer in the whole split; a direction that leaves S counts 0. It is a sum over pairs:
of two modalities each has half of what they are worth together, and nothing alone. The metric is the mean reciprocal
rank (``mrr``), with the same 0 for directions that leave S.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch

from mmbert.analysis.cooperative_game import subset_members
from mmbert.analysis.task_games import Game
from mmbert.core.types import Tensors
from mmbert.model import ModelOutput
from mmbert.tasks.retrieval import Retrieval
from mmbert.tasks.retrieval_metrics import distinct, ranks_of_rows

RETRIEVAL_EXPLAINED = "mean reciprocal rank between the sample's modalities"


class RetrievalReader:
    """Reads a task whose answer is what is near.

    Args:
        name: of the task.
        task: the model's.
        players: M.
    """

    def __init__(self, name: str, task: Retrieval, players: int) -> None:
        self.name, self.task = name, task
        self.members = subset_members(players)
        self.parts: list[list[tuple[np.ndarray, Tensors]]] = [[] for _ in self.members]
        self.targets: list[Tensors] = []

    def add(self, subset: int, samples: np.ndarray, present: np.ndarray, output: ModelOutput, targets: Tensors) -> None:
        """See ``SubsetReader``."""
        outputs = output.outputs[self.name]
        kept = {"vectors": outputs["vectors"].detach().float(), "present": outputs["present"]}
        self.parts[subset].append((samples, kept))
        if subset == len(self.members) - 1:
            self.targets.append(targets)

    def game(self, count: int) -> Game:
        """The game of N samples, all of which were read."""
        cells = torch.cat([part["cells"] for part in self.targets])
        directions = list(permutations(range(self.members.shape[1]), 2))
        present = self._present(count)
        # (N, 2^M, directions): 1 / rank, 0 where the query or the gallery is none of the subset
        found = np.zeros((count, len(self.members), len(directions)))
        for subset, parts in enumerate(self.parts):
            if self.members[subset].sum() > 1 and parts:
                found[:, subset] = self._reciprocal_ranks(parts, cells, directions, count)
        asked = found[:, -1] > 0  # (N, directions)
        # the right answer may be another sample's with the same cell: of its own modalities that says nothing
        own = asked & np.stack([present[:, a] & present[:, b] for a, b in directions], 1)
        worth = (found * own[:, None]).sum(2) / np.maximum(own.sum(1), 1)[:, None]
        if not asked.any():
            return Game(RETRIEVAL_EXPLAINED, worth, None, True, None, None, "no sample has two modalities")
        counted = asked & self._first_of_their_cell(cells, directions, present)

        def resampled(samples: np.ndarray) -> np.ndarray:
            asked_of = counted[samples]  # (n, directions)
            times = asked_of.sum(0)
            sums = (found[samples] * asked_of[:, None]).sum(0)  # (2^M, directions)
            return np.asarray((sums / np.maximum(times, 1))[:, times > 0].mean(1))

        whole = resampled(np.arange(count))
        return Game(RETRIEVAL_EXPLAINED, worth, self.task.main_metric, True, whole, resampled)

    @staticmethod
    def _reciprocal_ranks(
        parts: list[tuple[np.ndarray, Tensors]], cells: torch.Tensor, directions: list[tuple[int, int]], count: int
    ) -> np.ndarray:
        """(N, directions) 1 / rank with one subset; 0 where there is no rank."""
        one = parts[0][1]["vectors"]
        vectors = one.new_zeros(count, *one.shape[1:])
        present = torch.zeros(count, one.shape[1], dtype=torch.bool, device=one.device)
        for samples, made in parts:
            index = torch.from_numpy(samples).to(one.device)
            vectors[index], present[index] = made["vectors"], made["present"]
        ranks = np.stack([ranks_of_rows(vectors, present, cells, way).cpu().numpy() for way in directions], 1)
        return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0)

    def _present(self, count: int) -> np.ndarray:
        """(N, M) bool: the modalities of each sample."""
        present = np.zeros((count, self.members.shape[1]), dtype=bool)
        for samples, made in self.parts[-1]:
            present[samples] = made["present"].cpu().numpy()
        return present

    @staticmethod
    def _first_of_their_cell(cells: torch.Tensor, directions: list[tuple[int, int]], present: np.ndarray) -> np.ndarray:
        """(N, directions) bool: as the metric counts queries, a cell that stands in several rows once."""
        first = np.zeros(present.shape, dtype=bool)
        for place in range(present.shape[1]):
            known = cells[:, place] if cells.shape[1] > place else None
            there = torch.from_numpy(present[:, place]).to(cells.device)
            first[distinct(there, known).cpu().numpy(), place] = True
        return np.stack([first[:, query] for query, _ in directions], 1)
