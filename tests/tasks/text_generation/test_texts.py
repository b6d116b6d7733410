"""Texts to tokens and back: what begins and ends them, what is cut, what has no piece."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.encoders.pretrained.transformers import tiny_bert_parts
from mmbert.tasks.text_generation.texts import TextTokens
from mmbert.tasks.text_generation.vocabulary import learn_vocabulary, learnt_tokenizer

VOCABULARY = learn_vocabulary(["Ab c. d", "ba Cd", "AbA"], 30)


def learnt(max_length=20):
    return TextTokens(learnt_tokenizer(VOCABULARY), True, max_length)


@given(st.lists(st.text(alphabet="AbcdC", min_size=1, max_size=4), min_size=1, max_size=4))
@settings(deadline=None, max_examples=30)
def test_a_learnt_vocabulary_gives_a_text_back_as_it_was(words):
    tokens = learnt()
    text = " ".join(words)
    ids = tokens.ids(text)
    assert ids[0] == tokens.special.begin and ids[-1] == tokens.special.end
    assert tokens.text(ids.tolist()) == text


def test_a_long_text_is_cut_and_then_does_not_end():
    short, whole = learnt(3), learnt()
    assert short.ids("Ab c. d").tolist() == whole.ids("Ab c. d").tolist()[:4]
    assert short.special.end not in short.ids("Ab c. d")


def test_what_is_behind_the_end_is_not_read():
    tokens = learnt()
    ids = tokens.ids("Ab c.")
    filled = torch.cat([ids, torch.full((4,), tokens.special.padding)])
    assert tokens.texts(torch.stack([filled, filled])) == ["Ab c.", "Ab c."]


def test_capitals_are_those_of_the_vocabulary_and_an_empty_text_is_refused():
    own = TextTokens(tiny_bert_parts({})[1], False, 20)
    assert learnt().has_capitals
    assert own.has_capitals == (own.ids("A").tolist() != own.ids("a").tolist())
    with pytest.raises(DataError, match="vocab_size=2000"):
        own.ids("")
