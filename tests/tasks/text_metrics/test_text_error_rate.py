"""Error rates of generated texts: by hand, by the transcription task's counts, and where there is nothing to count."""

import math

import pytest

from mmbert.tasks.speech.error_rates import ErrorRate
from mmbert.tasks.text_metrics.scores import text_scores
from mmbert.tasks.text_metrics.text_error_rate import TextErrorRate


def rate(unit, answers, references):
    metric = TextErrorRate(unit)
    metric.update(answers[:1], references[:1])
    metric.update(answers[1:], references[1:])
    return float(metric.compute()), metric.note


def test_errors_are_pooled_over_the_split():
    """By hand: 1 of 1 word and 1 of 4 words are wrong: 2 / 5, which is not the mean of the samples' rates."""
    found, note = rate("word", ["no", "press ONE to open!"], [["yes"], ["Press one to leave."]])
    assert found == pytest.approx(2 / 5) and found != pytest.approx((1 + 1 / 4) / 2)
    assert "small letters, punctuation taken out" in note and "jiwer" in note


def test_characters_are_counted_as_the_transcription_task_counts_them():
    answers, references = ["open the dor", "", "one two"], ["open the door", "thank you", "one to"]
    own = ErrorRate("character")
    own.update(references, {"greedy": answers})
    assert rate("character", answers, [[text] for text in references])[0] == pytest.approx(float(own.compute()))


def test_of_several_references_the_nearest_counts():
    assert rate("word", ["a green hat", "x"], [["a very red flag", "a green cap"], ["x"]])[0] == pytest.approx(1 / 4)


def test_a_script_without_spaces_has_no_word_error_rate():
    assert math.isnan(rate("word", ["你好", "再见"], [["你们好"], ["再见"]])[0])
    assert rate("character", ["你好", "再见"], [["你们好"], ["再 见"]])[0] == pytest.approx(1 / 5)


def test_rates_are_asked_for_by_name_and_lower_is_better():
    made = text_scores(["cer", "bleu", "wer"], "ascii", "13a", lowercase=False)
    assert list(made) == ["bleu", "wer", "cer"]
    assert not made["wer"].higher_is_better and not made["cer"].higher_is_better and made["bleu"].higher_is_better
