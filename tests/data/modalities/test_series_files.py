"""Files of series as columns of numbers, moments and words, in every format."""

import io
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.data.modalities import series_files
from mmbert.data.modalities.series_files import RecentFiles, Words, columns_in, read_columns

NUMBERS = {"time": [0.0, 0.5, 1.0], "x": [1.5, np.nan, -2e3]}


def assert_same(found, wanted=NUMBERS):
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], np.asarray(values, np.float64))


@pytest.mark.parametrize(
    "text",
    [
        "time,x\n0,1.5\n0.5,\n1,-2e3\n",
        "\ufefftime; x\r\n0;1.5\r\n0.5;NaN\r\n1.0; -2000\r\n",
        "time\tx\n0\t+1.5\n.5\tn/a\n1.\t-2000",
        '"time","x"\n0,"1.5"\n0.5,null\n1,-2000\n',
    ],
    ids=["commas", "semicolons and a mark", "tabs", "quotation marks"],
)
def test_the_same_numbers_however_a_text_writes_them(text, tmp_path):
    assert_same(columns_in(text.encode()))
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert_same(read_columns(tmp_path / "a.csv"))
    assert_same(read_columns(io.BytesIO(text.encode())))


def test_the_same_numbers_in_parquet_and_arrays(tmp_path):
    parquet.write_table(
        pa.table({"time": pa.array(NUMBERS["time"], pa.float32()), "x": pa.array([1.5, None, -2e3])}),
        tmp_path / "a.parquet",
    )
    assert_same(read_columns(tmp_path / "a.parquet"))
    np.savez(tmp_path / "a.npz", time=np.array(NUMBERS["time"]), x=np.array(NUMBERS["x"], np.float32))
    assert_same(read_columns(tmp_path / "a.npz"))
    grid = np.array([NUMBERS["time"], NUMBERS["x"]]).T
    np.save(tmp_path / "a.npy", grid)
    assert_same(read_columns(tmp_path / "a.npy"), {"0": NUMBERS["time"], "1": NUMBERS["x"]})
    np.savez(tmp_path / "b.npz", t=np.arange(3), au=grid)
    np.savez(tmp_path / "c.npz", x=np.arange(3))
    assert_same(read_columns(tmp_path / "c.npz"), {"x": [0, 1, 2]})
    assert_same(read_columns(tmp_path / "b.npz"), {"t": [0, 1, 2], "au.0": NUMBERS["time"], "au.1": NUMBERS["x"]})


def test_moments_words_truth_values_and_decimals():
    found = columns_in(b"when,who,mixed,none\n2030-01-31T12:00:00.5,ann,1,\n2030-01-31 12:00:02,bob,two,NA\n")
    assert str(found["when"].dtype) == "datetime64[ns]"
    assert (found["when"][1] - found["when"][0]) == np.timedelta64(1_500, "ms")
    assert found["who"] == Words("ann", 1, False) and found["mixed"] == Words("two", 2, True)
    assert np.isnan(found["none"]).all()
    zoned = columns_in(b"when,x\n2030-01-31T12:00:00+01:00,1\n2030-01-31T12:00:00Z,2\n")["when"]
    assert zoned[1] - zoned[0] == np.timedelta64(1, "h")
    buffer = io.BytesIO()
    many = {
        "flag": [True, None],
        "price": pa.array(["1.25", "2.50"]).cast(pa.decimal128(5, 2)),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "list": [[1], [2]],
        "day": pa.array([0, 1], pa.date32()),
    }
    parquet.write_table(pa.table(many), buffer)
    found = columns_in(buffer.getvalue())
    np.testing.assert_array_equal(found["flag"], [1.0, np.nan])
    np.testing.assert_array_equal(found["price"], [1.25, 2.5])
    assert found["kind"] == Words("a", 1, False) and isinstance(found["list"], Words)
    assert found["day"][1] - found["day"][0] == np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (bytes(range(256)), "neither CSV or TSV in UTF-8 nor Parquet"),
        (b"a\0b,c\n1,2\n", "neither CSV or TSV in UTF-8 nor Parquet"),
        (b"0.5,1,2\n1.0,1,2\n", r"its first line is numbers \(0.5, 1, 2\), where the columns must be named"),
        (b"time,x,x\n0,1,2\n", "two columns called 'x'"),
        (
            b"time,x,y\n0,1,2\n1,2\n",
            "a row has 2 cells where the first line names 3 columns, '1,2': perhaps",
        ),
        (b"PAR1 and no more", "Parquet magic bytes not found|Couldn't|footer"),
        (b"PK\x03\x04 and no more", "zip file"),
    ],
)
def test_what_holds_no_columns_is_refused(content, message):
    with pytest.raises(Exception, match=message):
        columns_in(content)


def test_arrays_of_other_shapes_and_types_are_refused():
    for arrays, message in (
        ({"": np.zeros((2, 2, 2))}, r"the shape \(2, 2, 2\) where \(rows,\) or \(rows, columns\) is"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "different lengths: 'a' 2, 'b' 3"),
        ({"": np.array(["a", "b"])}, "not numbers"),
        ({"": np.zeros(3, complex)}, "not numbers"),
    ):
        with pytest.raises(DataError, match=message):
            series_files.columns_of_arrays(arrays)


def test_too_large_a_file_is_refused_before_it_is_read(monkeypatch, tmp_path):
    (tmp_path / "a.csv").write_text("time,x\n" + "0,1\n" * 50)
    monkeypatch.setattr(series_files, "MOST_FILE_BYTES", 100)
    monkeypatch.setattr(series_files, "columns_in", lambda content: pytest.fail("it was read"))
    with pytest.raises(DataError, match="more than 100: divide it"):
        RecentFiles().columns(str(tmp_path / "a.csv"))


def test_a_file_that_was_read_is_parsed_again_only_if_it_was_changed(monkeypatch, tmp_path):
    path, parsed = tmp_path / "a.csv", []
    monkeypatch.setattr(series_files, "columns_in", lambda content: parsed.append(content) or columns_in(content))
    recent = RecentFiles()
    path.write_text("time,x\n0,1\n1,2\n")
    assert_same(recent.columns(str(path)), {"time": [0, 1], "x": [1, 2]})
    assert_same(recent.columns(str(path)), {"time": [0, 1], "x": [1, 2]})
    assert len(parsed) == 1
    path.write_text("time,x\n0,1\n1,7\n")
    os.utime(path, ns=(1, 1))
    assert_same(recent.columns(str(path)), {"time": [0, 1], "x": [1, 7]})
    assert len(parsed) == 2
    monkeypatch.setattr(series_files, "KEPT_BYTES", 0)
    (tmp_path / "b.csv").write_text("time,x\n0,1\n")
    recent.columns(str(tmp_path / "b.csv"))
    assert not recent._files


CELLS = st.sampled_from(["1", "-2.5", "1e-3", "+4", "0x1F", "", " ", "NaN", "nan", "N/A", "None", "nOnE", "inf", " 7 "])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_numbers_are_read_as_they_are_among_words(rows, separator, quoted):
    """A column of words has the file read cell by cell, as text: the others are what they are without it."""
    mark = '"' if quoted else ""
    lines = [["x", "y", "w"], *([*row, "word"] for row in rows)]

    def text(width):
        return "\n".join(separator.join(f"{mark}{cell}{mark}" for cell in line[:width]) for line in lines).encode()

    found, beside = columns_in(text(2)), columns_in(text(3))
    assert beside["w"] == Words("word", 1, False)
    for name in ("x", "y"):
        if isinstance(beside[name], Words):
            assert found[name] == beside[name]
        else:
            np.testing.assert_array_equal(found[name], beside[name])
