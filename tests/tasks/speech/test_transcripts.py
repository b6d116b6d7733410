"""The form of transcripts: what is taken out, what stays, and what a word is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.tasks.speech.transcripts import TranscriptForm, parts_words

PLAIN, WORDS = TranscriptForm(), TranscriptForm(unit="word")
CHINESE = TranscriptForm(spaces=False)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Hello,  World!", "hello world"),
        ("Don’t l'eau 'quoted' rock'n'roll", "don't l'eau quoted rock'n'roll"),
        ("twenty-one\u00a0\u3000days\n", "twenty one days"),
        ("E\u0301t\u00e9", "été"),
        ("...", ""),
        ("「你好」", "你好"),
    ],
)
def test_small_letters_without_marks_with_single_blanks(text, written):
    assert PLAIN.written(text) == written


def test_options_leave_letters_and_marks_as_they_are():
    assert TranscriptForm(lower_case=False).written("Hi, You") == "Hi You"
    assert TranscriptForm(punctuation=True).written("Hi,  You!") == "hi, you!"
    assert CHINESE.written("你好， 世界") == "你好世界"


@given(st.text(max_size=20))
def test_writing_twice_changes_nothing_and_symbols_join_to_the_text(text):
    for form in (PLAIN, WORDS, CHINESE, TranscriptForm(lower_case=False, punctuation=True)):
        once = form.written(text)
        assert form.written(once) == once
        assert form.joined(form.symbols(once)) == once


def test_words_of_symbols():
    assert PLAIN.words(list("ab  c ")) == [("ab", 0, 2), ("c", 4, 5)]
    assert PLAIN.words([]) == [] and PLAIN.joined(list("  a ")) == "a"
    assert WORDS.words(["ab", "c"]) == [("ab", 0, 1), ("c", 1, 2)]
    assert CHINESE.words(list("你好")) == [("你", 0, 1), ("好", 1, 2)]


def test_scripts_that_part_words():
    assert parts_words(["one two", "数"]) and not parts_words(["你好", "世界 a"])
    assert not parts_words(["こんにちは"]) and parts_words([])
    assert parts_words(["12 ..."])
