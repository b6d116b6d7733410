"""Error rates are jiwer's on the whole set, however it is batched and spread."""

import math

import jiwer
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.speech.error_rates import ErrorRate, error_counts, joined_words

WORDS = st.lists(st.sampled_from(["a", "bé", "cc", "数", "don't"]), max_size=4)
SPACES = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0", "\u3000"])
TEXTS = st.builds(lambda words, space: space.join(words), WORDS, SPACES)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_rates_are_jiwers_of_all_texts_at_once(pairs, size):
    references, hypotheses = ([joined_words(text) for text in column] for column in zip(*pairs, strict=True))
    for unit, rate in (("word", jiwer.wer), ("character", jiwer.cer)):
        metric, other = ErrorRate(unit), ErrorRate(unit)
        for begin in range(0, len(pairs), size):
            some = pairs[begin : begin + size]
            (metric if begin % 2 == 0 else other).update([r for r, _ in some], {"greedy": [h for _, h in some]})
        metric.errors, metric.size = metric.errors + other.errors, metric.size + other.size  # two processes
        if not any(references):
            assert math.isnan(metric.compute())
        else:
            assert math.isclose(float(metric.compute()), rate(references, hypotheses), rel_tol=1e-6)


def test_counts_by_hand():
    # one word replaced, one left out, one said where there is none
    assert error_counts(["a b c", ""], ["a x", "d"], "word") == (3, 3)
    assert error_counts(["ab c"], ["ab"], "character") == (2, 4)  # the blank is a character


def test_hypotheses_that_were_not_sought_leave_the_rate_undefined():
    metric = ErrorRate("word", "beam")
    metric.update(["a"], {"greedy": ["a"]})
    assert math.isnan(metric.compute())
    metric.update(["a b"], {"greedy": ["x"], "beam": ["a"]})
    assert torch.isclose(metric.compute(), torch.tensor(0.5))
    metric.update([], {"beam": []})
    assert torch.isclose(metric.compute(), torch.tensor(0.5))
