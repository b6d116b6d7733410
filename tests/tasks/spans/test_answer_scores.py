"""Found stretches held against their references, with "no answer" above a threshold."""

import pytest
from torch import tensor

from mmbert.tasks.spans.answer_cells import AnswerPlaces
from mmbert.tasks.spans.answer_metrics import EXACT, F1, FOUND, HAS, NONE_ANSWERED
from mmbert.tasks.spans.answer_scores import CERTAINLY_NONE, scored_rows, stretch_scores
from mmbert.tasks.spans.answer_targets import collated_targets, question_target

WORDS = {"text": "to be or not", "offsets": tensor([[0, 2], [3, 5], [6, 8], [9, 12]]), "word_ids": tensor([0, 1, 2, 3])}
TARGETS = collated_targets([question_target(AnswerPlaces(spans), WORDS, False) for spans in (((3.0, 8.0),), ())])


def test_a_row_has_the_scores_of_its_stretch_and_whether_none_was_answered():
    found = tensor([1, 0]), tensor([1, 0]), tensor([-2.0, 1.0])  # "be" for "be or"; "to" where there is no answer
    rows = scored_rows(TARGETS, [0, 1], found, "squad", no_answer=True, threshold=0.0)
    assert rows[:, HAS].tolist() == [1, 0] and rows[:, NONE_ANSWERED].tolist() == [0, 1]
    assert rows[0, EXACT] == 0 and float(rows[0, F1]) == pytest.approx(2 / 3)
    stricter = scored_rows(TARGETS, [0, 1], found, "squad", no_answer=True, threshold=1.0)
    assert stricter[:, NONE_ANSWERED].tolist() == [0, 0]
    assert scored_rows(TARGETS, [], found, "squad", True, 0.0).shape == (0, 8)


def test_no_stretch_at_all_is_no_answer_whatever_the_threshold():
    found = tensor([0]), tensor([0]), tensor([CERTAINLY_NONE])
    row = scored_rows(TARGETS, [0], found, "squad", no_answer=False, threshold=0.0)[0]
    assert row[FOUND] == 0 and row[NONE_ANSWERED] == 1 and row[F1] == 0


def test_a_stretch_of_a_sound_is_scored_by_its_overlap():
    sound = {"times": tensor([[0.0, 0.5], [0.5, 1.0]]).double()}
    targets = collated_targets([question_target(AnswerPlaces(((0.0, 0.5),)), sound, seconds=True)])
    assert stretch_scores(targets, 0, (0.0, 1.0), "auto", False) == (pytest.approx(0.5), pytest.approx(2 / 3), True)
