"""Lines, paragraphs and blocks; no word is lost or said twice."""

from hypothesis import given
from hypothesis import strategies as st

from mmbert.data.plain_text.samples import WORD, text_samples

LINES = [(1, " one two "), (2, ""), (3, "three"), (4, "four five six"), (5, "  ")]


def test_units_by_hand():
    assert list(text_samples(LINES, "line", 0)) == [("one two", 1), ("three", 3), ("four five six", 4)]
    assert list(text_samples(LINES, "paragraph", 0)) == [("one two", 1), ("three four five six", 3)]
    assert list(text_samples(LINES, "block", 4)) == [("one two three four", 1), ("five six", 4)]
    assert list(text_samples([(1, "我爱北京 天安门ok")], "block", 3)) == [("我爱北", 1), ("京 天安", 1), ("门ok", 1)]
    assert list(text_samples([(1, "  ")], "block", 3)) == []


@given(
    lines=st.lists(st.text(alphabet="ab 我京\t", max_size=12), max_size=8),
    words=st.integers(1, 5),
    unit=st.sampled_from(["line", "paragraph", "block"]),
)
def test_no_word_is_lost(lines, words, unit):
    samples = list(text_samples(enumerate(lines, 1), unit, words))
    said = [word for line in lines for word in WORD.findall(line)]
    assert [word for text, _ in samples for word in WORD.findall(text)] == said
    assert all(text == text.strip() != "" for text, _ in samples)
    if unit == "block":
        assert all(len(WORD.findall(text)) == words for text, _ in samples[:-1])
    for text, line in samples:
        assert text.split()[0] in lines[line - 1]  # a sample begins on its line
