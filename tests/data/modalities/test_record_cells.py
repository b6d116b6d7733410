"""What counts as a number in a cell of facts, and which words are equal."""

from datetime import date
from decimal import Decimal

import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.record_cells import number_of_cell, word_in


@pytest.mark.parametrize(
    "cell, number",
    [(3, 3.0), (-2.5, -2.5), ("3", 3.0), (" +.5e2 ", 50.0), ("1.", 1.0), (Decimal("0.1"), 0.1), ("007", 7.0)]
    + [(cell, None) for cell in (True, "1,234", "1_000", "nan", "inf", "0x10", "ten", "", "١", date(2020, 1, 1), [1])],
)
def test_numbers(cell, number):
    assert number_of_cell(cell) == number


@pytest.mark.parametrize("cell", [float("inf"), "1e999", 10**400])
def test_infinite_numbers_are_refused(cell):
    with pytest.raises(DataError, match="no finite number"):
        number_of_cell(cell)


def test_words_are_equal_as_cells_are():
    assert word_in(" f ") == word_in("f") and word_in(3.0) == word_in("3") == "3" and word_in(True) == word_in("TRUE")
    assert word_in("F") != word_in("f")
    for cell in ([1], {"a": 1}, date(2020, 1, 1), b"x"):
        with pytest.raises(DataError, match="neither a number nor a word"):
            word_in(cell)
