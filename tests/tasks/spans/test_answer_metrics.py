"""Thresholds for questions without an answer, against the published script written down anew."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.spans.answer_metrics import EXACT, F1, AnswerScore, best_threshold, with_threshold


def find_best_thresh(preds, scores, na_probs, has_ans):
    """As evaluate-v2.0.py has it, a share in place of per cent."""
    cur_score = best_score = sum(1 for k in has_ans if not has_ans[k])
    best_thresh = 0.0
    for qid in sorted(na_probs, key=lambda k: na_probs[k]):
        cur_score += scores[qid] if has_ans[qid] else -1 if preds[qid] else 0
        if cur_score > best_score:
            best_score, best_thresh = cur_score, na_probs[qid]
    return best_score / len(scores), best_thresh


def apply_threshold(scores, na_probs, has_ans, threshold):
    return [float(not has_ans[q]) if na_probs[q] > threshold else s for q, s in scores.items()]


QUESTION = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans(), st.floats(-9, 9, allow_nan=False), st.booleans()
)


@given(questions=st.lists(QUESTION, min_size=1, max_size=8, unique_by=lambda q: q[2]))
@settings(deadline=None, max_examples=200)
def test_the_best_threshold_is_that_of_the_script(questions):
    scores = {i: q[0] if q[1] else float(not q[3]) for i, q in enumerate(questions)}
    na, has, preds = ({i: q[j] for i, q in enumerate(questions)} for j in (2, 1, 3))
    rows = torch.tensor(
        [[0.0, scores[i], float(has[i]), na[i], 0.0, float(preds[i]), 0.0, 0.0] for i in scores], dtype=torch.float64
    )
    value, threshold = best_threshold(rows, F1)
    expected, there = find_best_thresh(preds, scores, na, has)
    assert value == pytest.approx(expected)
    nothing = sum(not one for one in has.values()) / len(has)
    if expected > nothing:
        assert threshold == pytest.approx(there)
    else:  # the script then says 0, at which its own score is another; here nothing is answered
        assert all(threshold < one for one in na.values())
    rows[:, 4] = (rows[:, 3] > threshold).double()
    by_hand = apply_threshold(scores, na, has, threshold)
    assert float(with_threshold(rows, F1).mean()) == pytest.approx(sum(by_hand) / len(by_hand))


def test_questions_of_one_score_are_divided_alike():
    rows = torch.tensor(
        [[0, 1, 1, 2.0, 0, 1, 0, 0], [0, 0, 0, 2.0, 0, 1, 0, 0], [0, 1, 1, 1.0, 0, 1, 0, 0]], dtype=torch.float64
    )
    # at 1 the third is answered (1) and the second rightly not (1); at 2 the first is right too and the second wrong
    assert best_threshold(rows, F1) == (pytest.approx(2 / 3), 1.0)


def test_scores_with_and_without_an_answer():
    # the second is not answered, as the threshold has it: at the best one for these it would be
    #            exact f1   has none said_none found cut several
    rows = torch.tensor(
        [[1, 1.0, 1, -1, 0, 1, 0, 0], [0, 0.5, 1, -1, 1, 1, 1, 0], [0, 0, 0, 3, 1, 1, 0, 0], [0, 0, 0, -2, 0, 1, 0, 0]],
        dtype=torch.float64,
    )
    names = ["exact_match", "f1", "has_answer_f1", "no_answer_accuracy", "best_f1", "best_exact_match", "cut_answers"]
    found = {}
    for name in names:
        metric = AnswerScore(name)
        metric.update(rows[:1])
        metric.update(rows[1:])
        found[name] = float(metric.compute())
    assert found["exact_match"] == 0.5 and found["f1"] == 0.5 and found["has_answer_f1"] == 0.5
    assert found["no_answer_accuracy"] == 0.5 and found["cut_answers"] == 1.0
    assert found["best_f1"] == pytest.approx(0.625) == pytest.approx(best_threshold(rows, F1)[0])
    assert found["best_exact_match"] == pytest.approx(best_threshold(rows, EXACT)[0])
    assert math.isnan(float(AnswerScore("f1").compute()))
