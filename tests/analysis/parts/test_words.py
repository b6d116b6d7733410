"""Word pieces joined into words: by hand, in Chinese, of bytes, and with what privacy hides."""

import numpy as np
import pytest

from mmbert.analysis.parts.words import word_spans, word_sums
from mmbert.core.privacy import Privacy
from mmbert.encoders.text import TextEncoder


def shown(text, hidden=()):
    return [word for _, _, word in word_spans(text, hidden)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Add 12, please!", ["Add", "12", ",", "please", "!"]),
        ("don't re-do  it", ["don't", "re-do", "it"]),
        ("加 12 和七。", ["加", "12", "和", "七", "。"]),
        ("Bild加x", ["Bild", "加", "x"]),
        ("nai\u0308f été", ["nai", "\u0308", "f", "été"]),
        ("", []),
    ],
)
def test_what_a_word_is(text, words):
    assert shown(text) == words


def test_pieces_are_added_up_by_the_word_that_they_begin_in():
    text = "pronounced 加."
    offsets = np.array([[0, 0], [0, 4], [4, 10], [10, 12], [12, 13], [0, 0]])  # "pron" "ounced" " 加" "." and two ends
    words = word_sums(text, offsets, np.array([9.0, 1.0, 2.0, -3.0, 0.5, 9.0]))
    assert [(word.before, word.text, word.value) for word in words] == [
        ("", "pronounced", 3.0),
        (" ", "加", -3.0),
        ("", ".", 0.5),
    ]


def test_bytes_of_one_character_are_one_word():
    aligned = TextEncoder("tiny").processor.alignment("加 go")
    values = np.arange(len(aligned["offsets"]), dtype=float)
    words = word_sums(aligned["text"], np.asarray(aligned["offsets"]), values)
    # [CLS], three bytes of the character, the space, g, o, [SEP]
    assert [(word.text, word.value) for word in words] == [("加", 6.0), ("go", 4.0 + 5.0 + 6.0)]


def test_what_is_masked_is_one_word_with_the_sum_of_its_pieces():
    privacy = Privacy(mask=["email", {"code": "X[0-9]+"}])
    text = "mail ann@example.org or X12y"
    assert shown(text, privacy.spans(text)) == ["mail", "[email]", "or", "[code]", "y"]
    offsets = np.array([[0, 4], [5, 8], [8, 9], [9, 20], [21, 23], [24, 27], [27, 28]])
    words = word_sums(text, offsets, np.ones(7), privacy)
    assert [(word.text, word.value) for word in words] == [
        ("mail", 1.0), ("[email]", 3.0), ("or", 1.0), ("[code]", 1.0), ("y", 1.0),
    ]  # fmt: skip
    assert "".join(word.before + word.text for word in words) == privacy.masked(text)
