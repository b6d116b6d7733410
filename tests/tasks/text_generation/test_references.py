"""References in a cell, and their way through tensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.tasks.text_generation.references import packed_texts, references_in, unpacked_texts


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        (" A cat. ", ["A cat."]),
        ('["a", "b"]', ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (np.array(["a"], object), ["a"]),
        ("[laughs] yes", ["[laughs] yes"]),
        ("[1, 2]", ["[1, 2]"]),
        (12.0, ["12"]),
        (b"caf\xc3\xa9", ["café"]),
    ],
)
def test_one_reference_or_several(cell, texts):
    assert references_in(cell) == texts


@pytest.mark.parametrize("cell", ["", "  ", [], "[]", ["a", ""], '["a", " "]', [None], [["a"]], {"text": "a"}])
def test_what_is_no_reference_is_refused(cell):
    with pytest.raises(DataError, match="reference"):
        references_in(cell)


@given(st.lists(st.none() | st.lists(st.text(min_size=1), min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_text_survives(samples):
    assert unpacked_texts(packed_texts(samples)) == [texts or [] for texts in samples]
