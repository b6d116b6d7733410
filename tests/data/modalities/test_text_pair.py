"""Two texts as one input: their bytes, their digests, and what is left where one of them is missing."""

from mmbert.data.modalities.text import MODALITY as TEXT
from mmbert.data.modalities.text_pair import TextPair, is_pair_cell, text_or_pair
from mmbert.data.tables.cells import shown_pair


def test_a_cell_of_two_texts_is_a_pair_unless_the_first_is_missing(tmp_path):
    assert TEXT.read({"before": "Who?", "text": "Ann"}, tmp_path) == TextPair("Who?", "Ann")
    assert [TEXT.read({"before": gone, "text": "Ann"}, tmp_path) for gone in (None, "", " \n")] == ["Ann"] * 3
    assert TEXT.from_python(("Who?", "Ann"), None) == TextPair("Who?", "Ann") and text_or_pair(" ", "Ann") == "Ann"
    assert TEXT.labelled_part(TextPair("Who?", "Ann")) == TEXT.labelled_part("Ann") == "Ann"
    assert is_pair_cell({"before": 1, "text": 2}) and not is_pair_cell({"bytes": b"", "path": None})
    assert shown_pair("Who?", "Ann") == "Who?\nAnn" and shown_pair(None, "Ann") == "Ann"


def test_pairs_that_differ_differ_in_their_content_and_digest(tmp_path):
    cells = [("ab", "c"), ("a", "bc"), (None, "abc"), ("a b", "c"), ("a", "b c")]
    found = [{"before": before, "text": text} for before, text in cells]
    assert len({TEXT.content(cell, tmp_path) for cell in found}) == len(cells)
    assert len({TEXT.inspect(cell, tmp_path, {}).digest for cell in found}) == len(cells)
    assert TEXT.content(found[2], tmp_path) == b"abc" == TEXT.content("abc", tmp_path)
    assert TEXT.size(found[0], tmp_path) == 3 and TEXT.inspect(found[4], tmp_path, {}).quantities["words"] == 3
    assert TEXT.example_html({"before": "a<b", "text": "c"}, tmp_path) == "a&lt;b<br>c"
