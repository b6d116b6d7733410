"""Answers are scored as SQuAD's scripts 1.1 and 2.0 do it, and as CMRC 2018's does for Chinese."""

import re
import string
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchmetrics.text import SQuAD

from mmbert.tasks.spans.squad_scores import answer_scores, cmrc_exact, cmrc_f1, overlap_scores, squad_text

WORDS = st.sampled_from(
    ["The", "a", "an", "cat", "Cat,", "theory", "sat.", "U.S.", "1990", "s", "-", "\u00e9t\u00e9", " ", "\n"]
)
ANSWER = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)


# the published rules of evaluate-v2.0.py, written down anew


def normalize_answer(s):
    s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def compute_f1(a_gold, a_pred):
    gold, pred = (normalize_answer(s).split() if s else [] for s in (a_gold, a_pred))
    same = sum((Counter(gold) & Counter(pred)).values())
    if len(gold) == 0 or len(pred) == 0:
        return int(gold == pred)
    if same == 0:
        return 0
    precision, recall = same / len(pred), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def raw_scores(golds, pred):
    golds = [gold for gold in golds if normalize_answer(gold)] or [""]
    return max(int(normalize_answer(g) == normalize_answer(pred)) for g in golds), max(
        compute_f1(g, pred) for g in golds
    )


@given(golds=st.lists(ANSWER, max_size=3), answer=ANSWER)
@settings(deadline=None, max_examples=200)
def test_version_2_is_that_of_the_script(golds, answer):
    assert answer_scores(golds, answer, chinese=False, version2=True) == pytest.approx(raw_scores(golds, answer))


@given(golds=st.lists(ANSWER, min_size=1, max_size=3), answer=ANSWER)
@settings(deadline=None, max_examples=60)
def test_version_1_is_that_of_torchmetrics(golds, answer):
    # where nothing is left of both, torchmetrics follows version 2.0; see the last lines of the next test
    assume(all(map(squad_text, [*golds, answer])))
    metric = SQuAD()
    references = {"answers": {"answer_start": [0] * len(golds), "text": golds}, "id": "q"}
    metric.update([{"prediction_text": answer, "id": "q"}], [references])
    found = {name: float(value) / 100 for name, value in metric.compute().items()}
    exact, f1 = answer_scores(golds, answer, chinese=False, version2=False)
    assert (exact, f1) == pytest.approx((found["exact_match"], found["f1"]), abs=1e-6)


def test_what_does_not_count_in_english():
    assert squad_text(" The U.S.  army's,\nan End ") == "us armys end"
    assert answer_scores(["in Paris", "Paris"], "the Paris!", False, False) == (1.0, 1.0)
    assert answer_scores(["the big cat"], "big dog", False, False) == (0.0, 0.5)
    # an answer of which nothing is left: version 1.1 finds no common word, 2.0 takes it for empty
    assert answer_scores(["the"], "a", False, False) == (1.0, 0.0) and answer_scores(["the"], "a", False, True) == (
        1.0,
        1.0,
    )


def test_chinese_is_compared_by_characters():
    assert cmrc_exact("《红楼梦》", "红楼梦") == 1.0 and cmrc_exact("北京", "北京市") == 0.0
    # the longest common run 北京 of 2, of 3 given and 4 true
    assert cmrc_f1("北京大学", "在北京") == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert cmrc_f1("2023年5月", "5月") == pytest.approx(2 * 1 * 0.5 / 1.5)  # 2023 年 5 月: words and characters
    assert cmrc_f1("ω-force", "ω-Force。") == 1.0 and cmrc_f1("上海", "广州") == 0.0
    # a run, not a bag: 京北 has both characters and a run of one
    assert cmrc_f1("北京", "京北") == 0.5
    assert answer_scores(["北京", "北京市"], "北京市", chinese=True, version2=False) == (1.0, 1.0)
    assert answer_scores([], "北京", chinese=True, version2=True) == (0.0, 0.0)


def test_stretches_of_time_are_compared_by_their_overlap():
    assert overlap_scores([(1.0, 3.0)], (2.0, 4.0)) == pytest.approx((1 / 3, 0.5))
    assert overlap_scores([(1.0, 3.0), (2.0, 4.0)], (2.0, 4.0)) == (1.0, 1.0)
    assert overlap_scores([(0.0, 1.0)], (1.0, 2.0)) == (0.0, 0.0)
