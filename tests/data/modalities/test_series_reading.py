"""Which columns of a file are a series, and when its rows were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import TimeSpan
from mmbert.data.modalities.series_files import columns_in
from mmbert.data.modalities.series_reading import SeriesReading


def read(text, part=None, **options):
    more = {} if part is None else {"part": TimeSpan(*part)}
    return SeriesReading(**options).series(columns_in(text.encode()), **more)


def test_the_column_of_times_is_known_by_its_name_else_it_is_the_first():
    for header, times in (("x,Time,t", [5, 6]), ("x,timestamp,y", [5, 6]), ("x,y,T", [7, 9]), ("x,y,z", [1, 2])):
        found = read(f"{header}\n1,5,7\n2,6,9\n")
        assert found.times.tolist() == times and len(found.channels) == 2
    assert read("time,x,clock\n9,1,0\n9,2,3\n", time="clock").times.tolist() == [0, 3]
    assert read("x,y\n9,1\n9,2\n", rows_per_second=4.0).times.tolist() == [0, 0.25]
    even = read("time,x\n9,1\n9,2\n", rows_per_second=4.0, channels=("x",))
    assert even.times.tolist() == [0, 0.25] and even.channels == ("x",)


@pytest.mark.parametrize(("unit", "seconds"), [("s", 2000.0), ("ms", 2.0), ("us", 0.002), ("ns", 2e-6)])
def test_units_of_time(unit, seconds):
    assert read("time,x\n0,1\n2000,2\n", time_unit=unit).times[1] == pytest.approx(seconds, rel=1e-12)


def test_moments_are_counted_from_the_first_row():
    found = read("when,x\n2030-01-31T23:59:59.5,1\n2030-02-01T00:00:01,2\n")
    assert found.times.tolist() == [0.0, 1.5] and found.channels == ("x",)


def test_channels_by_name_or_all_of_numbers():
    text = "time,x,word,y,empty\n0,1,a,3,\n1,2,b,,\n"
    found = read(text)
    assert found.channels == ("x", "y", "empty")
    np.testing.assert_array_equal(found.values, [[1, 3, np.nan], [2, np.nan, np.nan]])
    assert read(text, channels=("y", "x")).values[0].tolist() == [3, 1]


FAULTS = [
    ("time,x\n0,1\n2,1\n1,1\n", {}, "its times run back, from 2 s in row 2 to 1 s in row 3 .column 'time'.: sort"),
    ("time,x\n0,1\n2,1\n2,1\n", {}, "its times repeat: 2 s in row 2, 2 s in row 3 .column 'time'.: leave one"),
    ("a,x\n3,1\n2,1\n", {}, "run back, from 3 s in row 1 .*If another column has the times, name it with .* time"),
    ("time,x\n0,1\n,1\n", {}, "row 2 has no time"),
    ("time,x\n0,1\ninf,1\n", {}, "row 2 has no time"),
    ("time,x\nnoon,1\nlater,1\n", {}, "'noon' in row 1 of its column of times 'time' is neither"),
    ("time,x\n0,1\n1,oops\n", {}, "'oops' in row 2 of its column 'x' is no number. An empty cell"),
    ("time;x\n0;1,5\n1;2\n", {}, "'1,5' in row 1 of its column 'x' is no number; write decimals with a point"),
    ("time,x\n0,1\n1,inf\n", {}, "its column 'x' has an infinite number in row 2"),
    ("time,x\n0,1e999\n1,1\n", {}, "its column 'x' has an infinite number in row 1"),
    ("time,x\n", {}, "it has no rows"),
    ("time,x\n0,1\n", {}, "it has one row only, where a series has two at least"),
    ("time,x\n0,a\n1,b\n", {}, "it has no column of numbers beside the times 'time': its columns are time, x"),
    ("who,x\nc,a\nd,b\n", {}, "it has no column of numbers: who, x"),
    ("time,acc\n0,1\n1,2\n", {"channels": ("ac",)}, "it has no column 'ac', which the encoder reads .*mean 'acc'"),
    ("time,acc\n0,1\n1,2\n", {"time": "tim"}, "it has no column 'tim', which the encoder reads .option time"),
    ("x,Time\n0,1\n1,2\n", {"rows_per_second": 4.0}, "it has a column of times, 'Time': leave .* rows_per_second out"),
    ("time,d\n0,2030-01-01\n1,2030-01-02\n", {"channels": ("d",)}, "its column 'd' has moments, not numbers"),
]


@pytest.mark.parametrize(("text", "options", "message"), FAULTS)
def test_faults_name_row_column_and_remedy(text, options, message):
    with pytest.raises(DataError, match=message):
        read(text, **options)


def test_a_part_is_the_rows_from_its_start_and_before_its_end():
    text = "time,x\n10,0\n11,1\n12,2\n15,3\n"
    assert read(text, (11, 12)).values[:, 0].tolist() == [1]
    assert read(text, (10.5, None)).values[:, 0].tolist() == [1, 2, 3]
    assert read(text, (0, 11.5)).values[:, 0].tolist() == [0, 1]
    assert len(read(text, (12.5, 14)).times) == 0  # a gap: there is nothing, and no fault
    for part in ((15.5, None), (0, 10), (20, 30)):
        with pytest.raises(DataError, match="its times go from 10 to 15 s, and the part from .* is asked for"):
            read(text, part)


@given(st.lists(st.floats(0.01, 5), min_size=3, max_size=30), st.data())
@settings(deadline=None, max_examples=40)
def test_parts_that_follow_on_one_another_share_no_row_and_lose_none(steps, data):
    times = np.cumsum(steps)
    text = "time,x\n" + "".join(f"{time!r},{row}\n" for row, time in enumerate(times.tolist()))
    cut = data.draw(st.floats(float(times[0]) + 0.001, float(times[-1])))
    first, second = read(text, (0, cut)), read(text, (cut, None))
    joined = [*first.values[:, 0].tolist(), *second.values[:, 0].tolist()]
    assert joined == list(range(len(times)))
    assert (first.times < cut).all() and (second.times >= cut).all()
