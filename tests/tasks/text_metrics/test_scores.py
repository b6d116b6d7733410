"""Every score equals the reference package's on the whole set, however many batches, processes and references."""

import builtins
import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from mmbert.core.errors import ConfigError
from mmbert.tasks.text_metrics.scores import TEXT_SCORES, Bleu, Cider, Distinct, Rouge, TextExactMatch, text_scores
from mmbert.tasks.text_metrics.text_pairs import reference_streams

COVERS = ("text_pairs",)
ANSWERS = ["the cat sat on the mat .", "a dog runs", "", "it is the sum of 3 and 4"]
REFERENCES = [
    ["the cat is on the mat .", "a cat sat on the mat ."],
    ["a dog runs far away"],
    ["nothing at all"],
    ["it is the sum of 3 and 4"],
]
words = st.lists(st.sampled_from(["the", "cat", "sat", "Mat", "."]), min_size=1, max_size=6).map(" ".join)


def value(metric, answers=ANSWERS, references=REFERENCES):
    metric.update(answers, references)
    return float(metric.compute())


def test_bleu_and_chrf_are_sacrebleus_with_their_signatures():
    metrics = text_scores(["bleu", "chrf"], "en", "13a", lowercase=False)
    streams = [[known[0] for known in REFERENCES], [REFERENCES[0][1], None, None, None]]
    bleu, chrf = BLEU(), CHRF()
    assert value(metrics["bleu"]) == pytest.approx(bleu.corpus_score(ANSWERS, streams).score)
    assert value(metrics["chrf"]) == pytest.approx(chrf.corpus_score(ANSWERS, streams).score)
    assert metrics["bleu"].note == str(bleu.get_signature()) and "tok:13a" in metrics["bleu"].note
    assert metrics["chrf"].note == str(chrf.get_signature())
    assert reference_streams(REFERENCES) == streams


def test_a_perfect_chinese_or_japanese_sentence_scores_100():
    assert value(Bleu("zh"), ["我爱中国"], [["我爱中国"]]) == pytest.approx(100)
    assert value(Bleu("13a"), ["我爱中国"], [["我爱中国"]]) == 0  # what the tokenizer is chosen by language for
    metric = Bleu("ja-mecab")
    assert value(metric, ["私は猫が好きです"], [["私は猫が好きです"]]) == pytest.approx(100)
    assert "tok:ja-mecab" in metric.note


def test_rouge_is_rouge_scores_mean_of_the_best_reference():
    for kind in ("rouge1", "rouge2", "rougeL"):
        scorer = RougeScorer([kind])
        each = [
            scorer.score_multi(known, answer)[kind].fmeasure for answer, known in zip(ANSWERS, REFERENCES, strict=True)
        ]
        assert value(Rouge(kind, "en")) == pytest.approx(sum(each) / 4)


def test_rouge_lsum_counts_sentences_as_lines():
    answer, known = "It rains. The cat sat.", "The cat sat. It rains."
    lines = RougeScorer(["rougeLsum"]).score(known.replace(". ", ".\n"), answer.replace(". ", ".\n"))
    assert value(Rouge("rougeLsum", "en"), [answer], [[known]]) == lines["rougeLsum"].fmeasure == 1
    assert value(Rouge("rougeL", "en"), [answer], [[known]]) < 1


def test_rouge_of_other_scripts_counts_their_words():
    metric = Rouge("rouge1", "zh")
    assert value(metric, ["我爱中国"], [["我爱你"]]) == pytest.approx(2 * 2 / (4 + 3))  # 2 of 4 and 2 of 3 characters
    assert "by character" in metric.note
    assert value(Rouge("rouge1", "fr"), ["l'été"], [["l'hiver"]]) == pytest.approx(0.5)
    assert value(Rouge("rouge1", "en"), ["我爱中国"], [["我爱中国"]]) == 0


def test_cider_is_pycocoevalcaps():
    from pycocoevalcap.cider.cider import Cider as Reference

    known = {0: ["the cat is on the mat", "a cat sat on the mat"], 1: ["a dog runs far away"]}
    known |= {2: ["nothing at all"], 3: ["it is the sum of 3 and 4"]}
    given = {0: ["the cat sat on the mat"], 1: ["a dog runs"], 2: [""], 3: ["it is the sum of 3 and 4"]}
    assert value(Cider()) == pytest.approx(float(Reference().compute_score(known, given)[0]), rel=1e-5)
    assert value(Cider(), ["a cat"], [["a cat"]]) == 0  # of one sample every word is in all references


def test_distinct_and_exact_match_by_hand():
    assert value(Distinct(1), ["a b a", "b c"], [["x"]] * 2) == pytest.approx(3 / 5)
    assert value(Distinct(2), ["a b a", "b c"], [["x"]] * 2) == pytest.approx(3 / 3)
    assert value(Distinct(2), ["a"], [["x"]]) == 0
    assert value(TextExactMatch(), ["a  b", "A"], [["x", "a b "], ["a"]]) == 0.5
    assert value(TextExactMatch(lowercase=True), ["a  b", "A"], [["x", "a b "], ["a"]]) == 1


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=2)), min_size=2, max_size=5), st.integers(0, 5))
@settings(deadline=None, max_examples=10)
def test_batches_and_processes_change_nothing(samples, cut):
    answers, references = map(list, zip(*samples, strict=True))
    for name, metric in text_scores(TEXT_SCORES, "en", "13a", True).items():
        whole = value(copy.deepcopy(metric), answers, references)
        first, second = copy.deepcopy(metric), copy.deepcopy(metric)
        first.update(answers[:cut], references[:cut])
        first.update([], [])
        second.update(answers[cut:], references[cut:])
        sent = []
        second.sync(partial(gathered, sent, None), distributed_available=lambda: True)
        first.sync(partial(gathered, [], sent), distributed_available=lambda: True)
        first._to_sync = False
        assert float(first.compute()) == pytest.approx(whole, rel=1e-6), name


def gathered(asked, others, tensor, group=None):
    asked.append(tensor.clone())
    return [tensor] if others is None else [tensor, others[len(asked) - 1]]


def test_without_any_reference_there_is_no_value():
    for metric in text_scores(TEXT_SCORES, "en", "13a", False).values():
        metric.update([], [])
        assert torch.isnan(metric.compute())


def test_missing_packages_are_named(monkeypatch):
    real = builtins.__import__

    def lacking(name, *rest):
        if name.startswith("pycocoevalcap"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ConfigError, match=r"mmbert\[captions\]"):
        Cider()
    monkeypatch.undo()
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(ConfigError, match=r"mmbert\[japanese\].*bleu_tokens=char"):
        Bleu("ja-mecab")
    assert value(Bleu("char"), ["私は猫"], [["私は猫"]]) == 0 < value(Bleu("char"), ["私は猫が"], [["私は猫が"]])
