"""Symbols and their numbers, there and back, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError, DataError
from mmbert.tasks.speech.alphabet import Alphabet, check_symbols, check_transcript, learnt_alphabet
from mmbert.tasks.speech.transcripts import TranscriptForm

LETTERS = Alphabet([" ", "a", "b", "c"], TranscriptForm())


def test_numbers_begin_behind_the_blank_and_a_transcript_is_brought_into_its_form_once():
    assert LETTERS.numbers("Cab,  a!") == [4, 2, 3, 1, 2]
    assert LETTERS.named([4, 2, 3]) == ["c", "a", "b"] and LETTERS.text([1, 4, 2, 3, 1, 1, 2, 1]) == "cab a"
    words = Alphabet(["eins", "zwei"], TranscriptForm("word"))
    assert words.numbers("Zwei, eins") == [2, 1] and words.text([2, 1]) == "zwei eins"


@given(st.text(alphabet=" abcABC.,!", min_size=1))
def test_there_and_back_is_the_written_form(text):
    form = LETTERS.form
    if not form.written(text):
        with pytest.raises(DataError, match="nothing is left"):
            LETTERS.numbers(text)
        return
    assert LETTERS.text(LETTERS.numbers(text)) == form.written(text)


def test_a_sound_must_have_a_token_for_each_symbol_and_each_pause():
    times = np.stack([np.arange(4) * 0.02, np.arange(1, 5) * 0.02], 1)
    assert LETTERS.numbers_said_in("abab", times, "audio") == [2, 3, 2, 3]
    with pytest.raises(DataError, match=r"'abba' needs 5 tokens .* has 4 of 20 ms.*encoders\.voice\.hop_seconds"):
        LETTERS.numbers_said_in("abba", times, "voice")
    with pytest.raises(DataError, match="has 0 of 0 ms"):
        LETTERS.numbers_said_in("a", times[:0], "voice")


def test_what_is_no_transcript_is_refused():
    with pytest.raises(DataError, match="'d', which no transcript of the train split has"):
        LETTERS.numbers("bad")
    for cell in (["a"], {"a": 1}):
        with pytest.raises(DataError, match="is no text"):
            check_transcript(cell)
    check_transcript(7)


def test_an_alphabet_is_learnt_from_texts_alone():
    assert learnt_alphabet([None, ["x"], "Ba a"], "said", "character", True, False, None) == {
        "symbols": [" ", "a", "b"],
        "spaces": True,
    }
    assert learnt_alphabet(["Ba a"], "said", "word", False, False, None)["symbols"] == ["Ba", "a"]
    with pytest.raises(DataError, match="Column 'said' has no transcript"):
        learnt_alphabet([None, "…"], "said", "character", True, False, None)
    with pytest.raises(ConfigError, match="names 'ab', no single character"):
        check_symbols("said", ["ab"], "character")
    check_symbols("said", ["ab"], "word")
