"""The oracle, and the choice by scores."""

import itertools

import pytest
from rouge_score.rouge_scorer import RougeScorer

from mmbert.tasks.summaries.selection import best_sentences, greedy_oracle

SENTENCES = ("The cat sat on the mat.", "It rained all day.", "A dog ran far away.", "The cat slept on the mat.")


def rouge(text, reference):
    found = RougeScorer(["rouge1", "rouge2"]).score(reference, text)
    return found["rouge1"].fmeasure + found["rouge2"].fmeasure


def test_the_oracle_takes_what_raises_rouge_most_and_stops():
    reference = "A cat sat on a mat while a dog ran away."
    chosen = greedy_oracle(SENTENCES, reference, 3, "en")
    assert chosen == (0, 2)
    first = max(range(4), key=lambda i: rouge(SENTENCES[i], reference))
    assert first in chosen
    value = {
        pair: rouge(" ".join(SENTENCES[i] for i in pair), reference) for pair in itertools.combinations(range(4), 2)
    }
    assert max(value, key=value.get) == chosen  # here the greedy choice is the best of all pairs
    assert greedy_oracle(SENTENCES, reference, 1, "en") == (first,)
    assert greedy_oracle(SENTENCES, "nothing shared", 3, "en") == ()
    assert greedy_oracle(("我爱你。", "天气好。"), "天气很好", 3, "zh") == (1,)


@pytest.mark.parametrize(("block", "chosen"), [(False, [0, 3]), (True, [0, 2])])
def test_the_highest_scores_are_chosen_without_repeating_three_words(block, chosen):
    scores = [4.0, None, 2.0, 3.0]
    sentences = list(SENTENCES[:3]) + ["Then the cat sat on."]
    assert best_sentences(sentences, scores, 2, block, "en") == chosen
