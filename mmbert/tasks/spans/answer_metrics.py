"""Scores of answers over a whole split, with and without a threshold for questions that have no answer.

The threshold and the best one are those of SQuAD 2.0's script. Differs from it where several questions have the same
score: a threshold divides them all alike here, in the script their order decides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmbert.tasks.metrics import Stored

#: Columns of the rows that are kept, one row a question: scores of the found answer, whether there is a reference
#: answer, the score of "no answer" less that of the found one, whether "no answer" was answered, whether a text was
#: found, whether the encoder's cut leaves the reference out, whether the answer's place was guessed among several.
EXACT, F1, HAS, NONE_SCORE, NONE_ANSWERED, FOUND, CUT_ANSWER, SEVERAL = range(8)


def with_threshold(rows: Tensor, score: int) -> Tensor:
    """(N,) scores: where "no answer" was answered, 1 if that is right and 0 if not."""
    return torch.where(rows[:, NONE_ANSWERED] > 0, 1 - rows[:, HAS], rows[:, score])


def best_threshold(rows: Tensor, score: int) -> tuple[float, float]:
    """The mean score at the best threshold, and that threshold: "no answer" is answered where NONE_SCORE is above it.

    Below all scores, where answering nothing at all is best, the threshold is a little under the lowest.
    """
    none, order = rows[:, NONE_SCORE].double().sort(stable=True)
    has, value, found = (rows[:, column].double()[order] for column in (HAS, score, FOUND))
    gains = torch.where(has > 0, value, -found)
    total = (has == 0).sum() + gains.cumsum(0)
    total = torch.where(torch.cat([none[1:] > none[:-1], none.new_ones(1, dtype=torch.bool)]), total, -math.inf)
    nothing = float((has == 0).sum())
    place = int(total.argmax())
    if float(total[place]) <= nothing:
        return nothing / len(rows), float(none[0]) - 1
    return float(total[place]) / len(rows), float(none[place])


class AnswerScore(Stored):
    """One number of the answers of a split. All share their rows within a MetricCollection's compute group.

    Args:
        name: ``exact_match``, ``f1``, ``iou``; the same after ``has_answer_`` (questions with an answer) or ``best_``
            (at the threshold that is best for this split); ``no_answer_accuracy``; ``cut_answers``.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.column = F1 if name.endswith("f1") else EXACT

    def update(self, rows: Tensor) -> None:  # type: ignore[override]
        """Adds (N, 8) rows; N may be 0."""
        super().update(rows, rows[:, HAS])

    @property
    def any_several(self) -> bool:
        """Whether the place of some answer was guessed among several."""
        kept: Any = self.scores
        parts = [kept] if isinstance(kept, Tensor) else list(kept)
        return any(bool(part[:, SEVERAL].any()) for part in parts)

    def score(self, scores: Tensor, truth: Tensor) -> Tensor:
        """rows (N, 8) -> ()."""
        if self.name == "cut_answers":
            return scores[:, CUT_ANSWER].sum()
        if self.name.startswith("best_"):
            return torch.tensor(best_threshold(scores, self.column)[0])
        values = with_threshold(scores, self.column).double()
        if self.name.startswith("has_answer_"):
            return values[truth > 0].mean()
        return values[truth == 0].mean() if self.name == "no_answer_accuracy" else values.mean()


class CutAnswers(AnswerScore):
    """``cut_answers``: fewer are better."""

    higher_is_better = False
