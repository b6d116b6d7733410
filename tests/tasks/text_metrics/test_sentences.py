"""Where sentences end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.tasks.text_metrics.sentences import sentence_spans, sentence_texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("我爱你。你呢？“好。”他说！", ["我爱你。", "你呢？", "“好。”", "他说！"]),
        ("Dr. Smith met J. Doe at 3.5 p.m. today. He left.", ["Dr. Smith met J. Doe at 3.5 p.m. today.", "He left."]),
        ("Use e.g. this. (Or that.) End", ["Use e.g. this.", "(Or that.)", "End"]),
        ("line one\nline two\n\n", ["line one", "line two"]),
        ('He said "Stop!" Then left.', ['He said "Stop!"', "Then left."]),
        ("私は犬です｡猫です", ["私は犬です｡", "猫です"]),
        ("  ", []),
        ("", []),
    ],
)
def test_sentences(text, found):
    assert sentence_texts(text) == found


@given(st.text(alphabet='aB .!。？\n"」1', max_size=30))
@settings(deadline=None)
def test_sentences_hold_every_letter_once_and_in_order(text):
    spans = sentence_spans(text)
    assert all(a < b for a, b in spans) and all(one[1] <= two[0] for one, two in zip(spans, spans[1:], strict=False))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
