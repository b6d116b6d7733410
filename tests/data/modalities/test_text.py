"""Text: the cell itself, its length, what counts as the same text, and its beginning as an example."""

import pytest

from mmbert.data.modalities import text as module
from mmbert.data.modalities.text import MODALITY as TEXT
from mmbert.runs.peak_memory import PeakMemory


def test_a_cell_is_read_as_text(tmp_path):
    assert [TEXT.read(cell, tmp_path) for cell in ("a b", 7, 1.5)] == ["a b", "7", "1.5"]
    assert TEXT.content("é", tmp_path) == b"\xc3\xa9"
    assert TEXT.content("\ud800", tmp_path) == b"\xed\xa0\x80"  # half of a pair, as some tables hold
    assert (TEXT.length("日本語", tmp_path), TEXT.size(1234, tmp_path)) == (3.0, 4)
    assert TEXT.file_name("a.png") is None


@pytest.mark.parametrize(("other", "same"), [("one  TWO\n", True), ("one two three", False), ("onetwo", False)])
def test_case_and_white_space_make_no_other_text(other, same, tmp_path):
    first, second = (TEXT.inspect(cell, tmp_path, {}) for cell in ("One two", other))
    assert first.quantities == {"characters": 7, "words": 2}
    assert (first.digest == second.digest) is same


def test_an_example_is_its_beginning(tmp_path):
    assert TEXT.example_html("a < b", tmp_path) == "a &lt; b"
    assert TEXT.example_html("x" * 400, tmp_path) == "x" * 400
    assert TEXT.example_html("x" * 401, tmp_path) == "x" * 400 + "…"


@pytest.mark.parametrize(
    "text", ["One  two\u2003three\n", "", "  ", "x", "a\x1fb c\x85d", "e\u0301te\u0301 E\u0301TE\u0301"]
)
def test_a_long_text_is_the_same_as_a_short_one(text, tmp_path, monkeypatch):
    short = TEXT.inspect(text, tmp_path, {})
    assert list(module.words_of(text)) == text.split() and short.quantities["words"] == len(text.split())
    monkeypatch.setattr(module, "LONG_TEXT", -1)
    assert list(module.words_of(text)) == text.split() and TEXT.inspect(text, tmp_path, {}) == short


@pytest.mark.slow
def test_a_very_long_text_takes_little_memory(tmp_path):
    text = "ab " * (5 * 2**20)
    with PeakMemory() as memory:
        before = memory.peak_mib()
        assert TEXT.inspect(text, tmp_path, {}).quantities["words"] == 5 * 2**20
    assert memory.peak_mib() - before < 30  # a list of its words takes 300
