"""What carries a tag, by three rules; accents that stand apart; and the token in which a word begins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.digits.sentences import split_words
from mmbert.encoders.text import TextEncoder
from mmbert.tasks.spans.units import (
    UNITS,
    check_label_words,
    cuts_character,
    first_tokens,
    is_unspaced,
    unit_extents,
    with_marks,
)

CAFE = "cafe\u0301 a\u0300 la"  # decomposed


def cut(text, unit):
    return [text[begin:end] for begin, end in unit_extents(text, unit)]


def test_words_by_white_space_with_marks_apart_and_by_character():
    assert cut(" Ann's  dog,\nyes.", "white_space") == ["Ann's", "dog,", "yes."]
    assert cut("Ann's dog, yes.", "punctuation") == ["Ann", "'", "s", "dog", ",", "yes", "."]
    assert cut("中国 2023", "character") == ["中", "国", "2", "0", "2", "3"]
    assert cut(CAFE, "character") == ["c", "a", "f", "e\u0301", "a\u0300", "l", "a"]
    assert cut(CAFE, "white_space") == ["cafe\u0301", "a\u0300", "la"]
    assert cut("What is the written number, seven, plus?", "punctuation") == split_words(
        "What is the written number, seven, plus?"
    )


@given(text=st.text(max_size=30), unit=st.sampled_from(UNITS))
def test_words_are_in_order_do_not_overlap_and_leave_out_white_space_alone(text, unit):
    extents = unit_extents(text, unit)
    followers = [begin for begin, _ in extents[1:]] + [len(text)]
    assert all(begin < end <= after for (begin, end), after in zip(extents, followers, strict=False))
    taken = {place for begin, end in extents for place in range(begin, end)}
    assert all(text[place].isspace() for place in set(range(len(text))) - taken)


def test_marks_belong_to_the_letter_before():
    assert with_marks(CAFE, 4) == 5 and with_marks(CAFE, 3) == 3 and with_marks(CAFE, len(CAFE)) == len(CAFE)
    assert [cuts_character(CAFE, place) for place in (0, 4, 5)] == [False, True, False]


def test_scripts_without_spaces_are_recognised():
    assert is_unspaced(["北京在哪里？", "BERT 是什么"]) and is_unspaced(["ひらがなとカタカナ"])
    assert not is_unspaced(["Where is 北京?"]) and not is_unspaced(["한국어는 띄어 쓴다"]) and not is_unspaced([""])


def alignment(text, *tokens):
    """Special tokens around the given extents."""
    offsets = np.array([(0, 0), *tokens, (0, 0)])
    return {"text": text, "offsets": offsets, "word_ids": np.array([-1, *[0] * len(tokens), -1])}


def test_a_words_first_token_holds_its_first_character():
    text = "Anna eats"
    words = unit_extents(text, "white_space")
    assert first_tokens(words, alignment(text, (0, 2), (2, 4), (5, 9))) == [1, 3]
    # byte-level tokenizers begin a word's token with the blank before it
    assert first_tokens(words, alignment(text, (0, 4), (4, 7), (7, 9))) == [1, 2]
    # the cut leaves the second word out; a token may hold several characters; a mark without width has no token
    assert first_tokens(words, alignment(text, (0, 4))) == [1, -1]
    assert first_tokens(unit_extents("2023年", "character"), alignment("2023年", (0, 4), (4, 5))) == [1, 1, 1, 1, 2]
    assert first_tokens([(0, 3)], alignment("\u200bab", (1, 3))) == [1]


def test_the_tiny_encoders_tokens_are_found():
    processor = TextEncoder("tiny", max_tokens=8).processor
    found = processor.alignment("ab cd efgh")
    places = first_tokens(unit_extents("ab cd efgh", "white_space"), found)
    begins = [tuple(found["offsets"][place].tolist()) for place in places if place >= 0]
    assert places[-1] == -1 or places[-1] > places[1] > places[0] == 1
    assert begins[0][0] == 0 and len(begins) >= 2


def test_words_of_a_label_must_be_those_of_the_text():
    check_label_words(["a", ",", "b"], "a, b", "punctuation")
    with pytest.raises(DataError, match=r"word 1 is 'a', the text's is 'a,' \(unit=white_space.*unit=punctuation"):
        check_label_words(["a", ",", "b"], "a, b", "white_space")
    with pytest.raises(DataError, match="word 2 is 'c', the text's is 'b'.*joined by blanks"):
        check_label_words(["a", "c"], "a b", "white_space")
    with pytest.raises(DataError, match="word 2 is the end, the text's is 'b'"):
        check_label_words(["a"], "a b", "white_space")
