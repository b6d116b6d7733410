"""Cells of tags, as tables write them."""

import pytest

from mmbert.core.errors import DataError
from mmbert.tasks.spans.tag_cells import tags_of_cell

TAGS = ["O", "B-PER"]


@pytest.mark.parametrize("cell", [TAGS, tuple(TAGS), '["O", "B-PER"]', "['O', 'B-PER']", "O B-PER", " O\tB-PER\n"])
def test_a_list_is_a_list_however_it_is_written(cell):
    assert tags_of_cell(cell) == (None, TAGS)


@pytest.mark.parametrize(
    "cell", ['{"words": ["by", "Ann"], "tags": ["O", "B-PER"]}', {"tokens": ["by", "Ann"], "ner_tags": TAGS}]
)
def test_an_object_names_its_words_too(cell):
    assert tags_of_cell(cell) == (["by", "Ann"], TAGS)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ('["O", ', "looks like a list but is none"),
        ("{no", "looks like an object but is no JSON"),
        ('{"words": ["a"]}', "holds no list of tags"),
        ({"words": ["a"], "tags": TAGS}, "2 tags for 1 words"),
        (7, "is no list of tags"),
        (["O", None], "tag 2 of .* is None: every word needs one"),
        (["O", ["x"]], "tag 2 of"),
    ],
)
def test_anything_else_is_refused(cell, message):
    with pytest.raises(DataError, match=message):
        tags_of_cell(cell)
