"""Which cells are empty and which are equal: one rule, in Python and in Arrow."""

import decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.tables.cells import cell_excerpt, cell_key, cell_text, column_keys, without_words

WORD = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.builds(
        "{}{}{}{}".format, *map(st.sampled_from, (["", " "], ["", "-"], ["0", "7", "10", "07"], ["", ".0", ".00"]))
    ),
    st.sampled_from(
        [
            "True",
            "FALSE",
            "tRuE",
            "trues",
            "fal\u017fe",
            "-0.0",
            "1.0\n",
            " \u00a0",
            "e\u0301",
            "\u212b",
            "9" * 38 + ".0",
            "9" * 39 + ".0",
        ]
    ),
)


@pytest.mark.parametrize(
    "same",
    [
        (7, 7.0, "7", "7.0", " 7 ", decimal.Decimal("7.0")),
        (0, 0.0, -0.0, "0", "0.0", "-0.0"),
        (-3, "-3.0"),
        (True, "True", "TRUE", "true"),
        (False, "False", "FALSE"),
        ("caf\u00e9", "cafe\u0301", "caf\u00e9\u00a0"),
        ("cat", " cat", "cat\t"),
    ],
)
def test_equal_cells(same):
    assert len({cell_key(cell) for cell in same}) == 1


@pytest.mark.parametrize(
    "cells",
    [
        ("7", "007", "7.00", "7e0", "+7", "7.", "7.5", "7 0"),
        ("1.1", "1.10", "1.0.0"),
        ("cat", "Cat", "c at"),
        (True, 1, "yes", "T"),
        ("1e3", "1000"),
    ],
)
def test_cells_that_are_not_equal(cells):
    assert len({cell_key(cell) for cell in cells}) == len(cells)


def test_empty_cells_have_no_key():
    assert [cell_key(cell) for cell in (None, "", " \t\u3000", float("nan"))] == [None] * 4
    assert cell_key("NA") == "NA" and cell_key("None") == "None"


@pytest.mark.parametrize(
    ("cell", "name"),
    [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("7.0", "7.0"), (True, "True"), (" a b ", "a b"), ("e\u0301", "\u00e9")],
)
def test_how_a_cell_is_shown(cell, name):
    assert cell_text(cell) == name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | WORD, min_size=1, max_size=20))
def test_arrow_and_python_compare_texts_alike(cells):
    for kind in (pa.string(), pa.large_string()):
        column = pa.chunked_array([pa.array(cells[:3], kind), pa.array(cells[3:], kind)], kind)
        assert column_keys(column).to_pylist() == [cell_key(cell) for cell in cells]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1.0, 1e20, 1e-7, 0.5, float("nan"), None], pa.float64()),
        ([1, -3, None, 1], pa.int64()),
        ([True, None, False], pa.bool_()),
        ([None, None], pa.null()),
    ],
)
def test_arrow_and_python_compare_numbers_alike(cells, kind):
    column = pa.chunked_array([pa.array(cells[:2], kind), pa.array(cells[2:], kind)], kind)
    assert column_keys(column).to_pylist() == [cell_key(cell) for cell in cells]
    assert column_keys(pa.chunked_array([], kind)).to_pylist() == []


def test_words_that_stand_for_an_empty_cell():
    column = pa.chunked_array([["a", "b"], ["NA", " na ", "n/a", "-", "NAN", "null", "x"]])
    cleared = without_words(column, ["NA", "-", float("nan"), None])
    assert cleared.to_pylist() == ["a", "b", None, None, "n/a", None, None, None, "x"]
    assert cleared.chunk(0).buffers()[2].address == column.chunk(0).buffers()[2].address  # nothing to clear, no copy
    assert without_words(pa.chunked_array([[1.5, -9.0, None]]), [-9, "NA"]).to_pylist() == [1.5, None, None]
    assert without_words(pa.chunked_array([[-9, 3]]), ["NA"]).to_pylist() == [-9, 3]
    assert without_words(pa.chunked_array([[["NA"]]]), ["NA"]).to_pylist() == [["NA"]]
    assert without_words(pa.chunked_array([pa.array(["NA"], pa.large_string())]), ["NA"]).to_pylist() == [None]


def test_bytes_are_the_text_that_they_are_and_are_never_shown():
    assert cell_text("été ".encode()) == "été" and cell_key(b"1.0") == "1"
    with pytest.raises(DataError, match="a text is needed, not 2 bytes, which are no text in UTF-8"):
        cell_text(b"\xff\xfe")
    assert cell_excerpt({"bytes": b"12345", "path": "a.png"}) == "{bytes: 5 bytes, path: a.png}"
    assert cell_excerpt([b"1", "x"]) == "[1 bytes, x]" and cell_excerpt("x" * 61) == "x" * 60 + "…"
