"""Moments in cells: seconds and clocks are read, all else is refused with its row, and parts run forward."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.tables.times import seconds_of, seconds_of_cells, span_faults


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        *((None, None), ("12.5", 12.5), (" 3 ", 3.0), (7, 7.0), (0.25, 0.25), ("0", 0.0), ("1e1", 10.0)),
        *(("0:01.5", 1.5), ("2:03.25", 123.25), ("00:14:38,127", 878.127), ("1:02:03", 3723.0)),
    ],
)
def test_moments(cell, seconds):
    assert seconds_of(cell) == seconds


@given(st.integers(0, 10), st.integers(0, 59), st.integers(0, 59_999))
def test_a_clock_is_its_sum(hours, minutes, milliseconds):
    text = f"{hours}:{minutes:02d}:{milliseconds / 1000:06.3f}"
    assert seconds_of(text) == pytest.approx(3600 * hours + 60 * minutes + milliseconds / 1000)


@pytest.mark.parametrize("cell", ["soon", "-1", -0.5, "nan", "inf", True, "1:2:3:4", "12:5x", "0:01.5.2", [1]])
def test_what_is_no_moment(cell):
    with pytest.raises(DataError, match=r"is no moment in a recording: give seconds \(12\.5\) or hours"):
        seconds_of(cell)


def test_what_cannot_be_read_is_nan_and_told():
    np.testing.assert_array_equal(seconds_of_cells(["1", None, "soon"]), [1, np.nan, np.nan])
    faults = span_faults(["1", "2", None, "soon", None, "3"], ["2", "2", "1", "9", None, None])
    assert list(faults) == [1, 3] and "ends at 2 s and begins at 2 s: the end must come after it" in faults[1]
    assert "soon is no moment" in faults[3]
    assert list(span_faults([None], ["0"])) == [0]
