"""Series on a regular grid, against numpy.interp by hand; long gaps are left open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.modalities.series_reading import Series
from mmbert.encoders.processors.series_grid import grid_steps, on_grid, trimmed_series

EMPTY = np.nan


def series(times, *channels):
    return Series(np.array(times, float), np.array(channels, float).T, tuple("xyz"[: len(channels)]))


def test_without_gaps_it_is_numpys_interpolation():
    rng = np.random.default_rng(0)
    times = 5 + np.cumsum(rng.uniform(0.05, 0.2, 60))
    given = Series(times, rng.standard_normal((60, 2)), ("x", "y"))
    found = on_grid(given, 7.0, 10.0, 10_000)
    moments = times[0] + np.arange(len(found)) / 7
    assert moments[-1] <= times[-1] < moments[-1] + 1 / 7
    for place in range(2):
        np.testing.assert_allclose(found[:, place], np.interp(moments, times, given.values[:, place]), atol=1e-9)


def test_a_gap_is_open_and_its_edges_are_there_by_hand():
    given = series([0, 1, 2, 6, 7], [0, 10, 20, 60, 70], [0, EMPTY, 4, EMPTY, EMPTY])
    # 2 to 6 is a gap of 4 s > 3; y has 0 and 4 at 0 and 2 s, and nothing after
    np.testing.assert_array_equal(
        on_grid(given, 1.0, 3.0, 100),
        [[0, 0], [10, 2], [20, 4], [EMPTY, EMPTY], [EMPTY, EMPTY], [EMPTY, EMPTY], [60, EMPTY], [70, EMPTY]],
    )
    assert not np.isnan(on_grid(given, 1.0, 4.0, 100)[:, 0]).any()  # a gap as long as max_gap is none
    assert len(on_grid(given, 1.0, 3.0, 5)) == 5


def test_the_usual_gap_is_three_steps_of_the_file_or_the_grid():
    given = series([0, 1, 2, 3, 6, 9.5], [0, 1, 2, 3, 6, 9.5])  # median step 1
    assert np.isnan(on_grid(given, 2.0, None, 100)[:, 0]).tolist() == [False] * 13 + [True] * 6 + [False]
    assert not np.isnan(on_grid(given, 0.5, None, 100)).any()  # three steps of the grid are 6 s


def test_rows_without_numbers_at_the_ends_are_left_out():
    given = trimmed_series(series([0, 1, 2, 3], [EMPTY, 5, EMPTY, EMPTY], [EMPTY, EMPTY, 6, EMPTY]))
    assert given.times.tolist() == [1, 2]
    nothing = trimmed_series(series([0, 1], [EMPTY, EMPTY]))
    assert len(nothing.times) == 0 and on_grid(nothing, 5.0, None, 10).shape == (0, 1)


def test_a_rate_that_must_be_a_mistake_is_refused_before_memory_is_taken():
    assert grid_steps(series([0, 1.0], [1, 2]), 1000.0) == 1001
    with pytest.raises(
        DataError, match=r"2 rows last 7,200,000 s, .* 360,000,000 steps: lower .* rate; or .*time_unit"
    ):
        grid_steps(series([0, 7_200_000], [1, 2]), 50.0)
    wide = Series(np.arange(200_000.0), np.zeros((200_000, 1)), ("x",))
    with pytest.raises(DataError, match="would be 199,997,000 steps"):
        grid_steps(wide, 999.99)


@pytest.mark.parametrize("start", [0.0, 1_612_345_678.9, 1_700_000_000.3, 1_799_999_999.7])
def test_times_since_1970_lose_no_row_at_the_edge_of_a_gap(start):
    for rate in (997.0, 1000.0):
        times = np.concatenate([np.arange(501) / rate, (2 * rate + np.arange(501)) / rate])
        found = on_grid(series(start + times, np.sin(times)), rate, 0.01, 10_000)[:, 0]
        assert np.flatnonzero(np.isfinite(found)).tolist() == [*range(501), *range(int(2 * rate), int(2 * rate) + 501)]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_between_near_numbers_a_value_and_else_none(data):
    count = data.draw(st.integers(2, 20))
    times = np.cumsum(data.draw(st.lists(st.floats(0.05, 3), min_size=count, max_size=count)))
    cells = data.draw(st.lists(st.floats(-100, 100) | st.just(EMPTY), min_size=count, max_size=count))
    rate, most = data.draw(st.floats(0.5, 10)), data.draw(st.floats(0.1, 4))
    given = trimmed_series(Series(times, np.array(cells)[:, None], ("x",)))
    if not len(given.times):
        return
    found = on_grid(given, rate, most, 10_000)[:, 0]
    there = np.isfinite(given.values[:, 0])
    knots, numbers = given.times[there], given.values[there, 0]
    assert np.isfinite(found[0])  # the first row has a number
    for place, value in enumerate(found):
        moment = given.times[0] + place / rate
        near = np.abs(knots - moment).min()
        if near <= 1e-7:
            continue  # at a number: it may count as on it or beside it
        left, right = knots[knots < moment].max(), knots[knots > moment].min(initial=np.inf)
        if abs(right - left - most) < 1e-6 or near <= 2e-6 / rate:
            continue
        if right - left < most:
            assert value == pytest.approx(np.interp(moment, knots, numbers), abs=1e-6)
        else:
            assert np.isnan(value)
