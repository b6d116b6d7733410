"""Answers that were found, each held against its references: the rows of which ``answer_metrics`` makes numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmbert.core.types import Tensors
from mmbert.tasks.spans.answer_targets import reference_texts, spelt_text
from mmbert.tasks.spans.best_spans import text_extent
from mmbert.tasks.spans.squad_scores import Scoring, answer_scores, overlap_scores
from mmbert.tasks.spans.units import is_unspaced

#: Score of "no answer" where no token could be an answer, in place of infinity.
CERTAINLY_NONE = 1e9


def scored_rows(
    targets: Tensors,
    rows: Sequence[int],
    found: tuple[Tensor, Tensor, Tensor],
    scoring: Scoring,
    no_answer: bool,
    threshold: float,
) -> Tensor:
    """(N, 8) float64, one row a question; see ``answer_metrics``.

    Args:
        targets: of a batch.
        rows: the places of N questions in it.
        found: of the whole batch, (B,) each: first and last token of the best stretch, and how much better no answer
            is, CERTAINLY_NONE where there is no stretch.
        scoring: whose rules compare texts.
        no_answer: whether "no answer" may be answered; version 2.0 of SQuAD's rules then holds.
        threshold: it is answered where it is better by more.
    """
    extents = targets["extents"].cpu()
    first, last, worse = (tensor.cpu() for tensor in found)
    scores = []
    for row in rows:
        none, has = float(worse[row]), float(targets["state"][row] == 1)
        exact = f1 = 0.0
        there = none < CERTAINLY_NONE
        if there:
            stretch = float(extents[row, first[row], 0]), float(extents[row, last[row], 1])
            exact, f1, there = stretch_scores(targets, row, stretch, scoring, no_answer)
        answered_none = not there or no_answer and none > threshold
        cut, several, _ = targets["flags"][row].tolist()
        scores.append([exact, f1, has, none, float(answered_none), float(there), float(cut), float(several)])
    return torch.tensor(scores, dtype=torch.float64).reshape(-1, 8)


def stretch_scores(
    targets: Tensors, row: int, stretch: tuple[float, float], scoring: Scoring, no_answer: bool
) -> tuple[float, float, bool]:
    """Exact match and F1 of a stretch, of a sound IoU and F1; and whether there is anything in it.

    Args:
        targets: of a batch.
        row: the question's place in it.
        stretch: its beginning and end, in characters or seconds.
        scoring: whose rules compare texts.
        no_answer: whether version 2.0 of SQuAD's rules holds, which is for questions that may have no answer.
    """
    begin, end = stretch
    text = spelt_text(targets["text"][row].tolist())
    if not text:  # a sound
        spans = [(a, b) for a, b in targets["spans"][row].tolist() if b > a]
        return *overlap_scores(spans, stretch), end > begin
    start, stop = text_extent(text, int(begin), int(end))
    chinese = scoring == "cmrc" or scoring == "auto" and is_unspaced([text])
    answer = text[start:stop]
    return *answer_scores(reference_texts(targets, row), answer, chinese, no_answer), bool(answer)
