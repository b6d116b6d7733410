"""Series as a kind of input: files, values in Python, gaps, damage, measures and examples."""

import io
from pathlib import Path

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.series import MODALITY as SERIES
from mmbert.data.modalities.series import SeriesModality, drawn_line
from mmbert.data.modalities.series_reading import Series, SeriesReading
from mmbert.encoders.processors.series import SeriesProcessor

STATISTICS = {"x": {"mean": 1.0, "std": 2.0}, "y": {"mean": 0.0, "std": 0.5}}
PROCESSOR = SeriesProcessor(SeriesReading(), STATISTICS)
TEXT = "time,x,y\n0,1,2\n1,2,\n2,3,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(TEXT)
    (tmp_path / "gaps.csv").write_text("time,x,y\n0,,\n1,NaN,\n5,1,\n")
    return tmp_path


def test_a_cell_names_a_file_or_holds_its_bytes_whole_or_a_part(folder):
    for cell in ("a.csv", {"path": "a.csv"}, {"bytes": TEXT.encode(), "path": None}, TEXT.encode()):
        np.testing.assert_array_equal(SERIES.read(cell, folder).values, [[1, 2], [2, np.nan], [3, 4]])
    part = SERIES.read({"path": "a.csv", "start": 1.0, "end": None}, folder)
    np.testing.assert_array_equal(part.times, [1, 2])
    assert part.source == str(folder / "a.csv")


def test_errors_name_the_file_and_what_to_do(folder):
    (folder / "back.csv").write_text("time,x\n1,1\n0,1\n")
    message = "back.csv: the series cannot be used: its times run back, .* new recording begins. Replace the file"
    with pytest.raises(DataError, match=message):
        SERIES.read("back.csv", folder)
    with pytest.raises(DataError, match="gone.csv: there is no such file"):
        SERIES.read("gone.csv", folder)


def test_a_file_or_a_part_of_nothing_but_gaps_has_nothing(folder):
    assert not SERIES.has_nothing("a.csv", folder) and not SERIES.has_nothing("gaps.csv", folder)
    assert SERIES.has_nothing({"path": "gaps.csv", "start": 0.0, "end": 4.0}, folder)
    assert SeriesModality(SeriesReading(channels=("y",))).has_nothing("gaps.csv", folder)
    assert not SERIES.has_nothing("gone.csv", folder)  # an error when it is read
    assert SERIES.may_lack("any name") and SERIES.variant != SeriesModality(SeriesReading(channels=("y",))).variant


def test_values_in_python(folder):
    times, grid = [0.0, 1.0, 2.0], np.array([[1, 2], [2, np.nan], [3, 4]])
    wanted = SERIES.read("a.csv", folder)
    modality = PROCESSOR.modality
    for value in (
        folder / "a.csv",
        wanted,
        {"time": times, "x": grid[:, 0], "y": grid[:, 1]},
        (times, grid),
    ):
        found = modality.from_python(value, PROCESSOR)
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.times, wanted.times)
    alone = SeriesProcessor(SeriesReading(rows_per_second=2.0), STATISTICS)
    assert alone.modality.from_python(grid, alone).times.tolist() == [0, 0.5, 1]
    for value, message in (
        ((times, grid[:, :1]), r"the shape \(3, 1\) where \(rows, 2\) is needed"),
        (([2.0, 1.0, 0.0], grid), "its times run back"),
        ({"time": times, "x": grid[:, 0]}, "it has no column 'y'"),
        (["a", "string", "of", "letters"], "The series given cannot be used"),
    ):
        with pytest.raises(DataError, match=message):
            modality.from_python(value, PROCESSOR)


def test_what_is_measured_of_a_file(folder):
    facts = SERIES.inspect("a.csv", folder, {})
    assert facts.quantities == {"rows": 3, "gaps": round(1 / 6, 4), "seconds": 2.0, "hertz": 1.0}
    assert facts.width == 2 and not facts.remarks
    assert SERIES.inspect("gaps.csv", folder, {}).remarks == ("it has no number of 'y'",)
    part = SERIES.inspect({"path": "a.csv", "start": 1.0, "end": None}, folder, {})
    assert part.digest != facts.digest and part.quantities["rows"] == 2


def test_damage_is_noise_in_deviations_of_train_the_same_at_every_level():
    rng = np.random.default_rng(0)
    raw = Series(np.arange(4000.0), rng.standard_normal((4000, 2)), ("x", "y"))
    raw.values[7, 0] = np.nan
    processor = SeriesProcessor(SeriesReading(), STATISTICS, max_steps=5000)
    clean = processor.prepare(raw)
    found = {
        level: processor.modality.corrupted(raw, processor, level, np.random.default_rng(1), None)
        for level in (0.5, 1.0)
    }
    half, whole = ((found[level].values - clean.values)[clean.observed] for level in (0.5, 1.0))
    np.testing.assert_allclose(2 * half, whole, atol=1e-4)
    assert float(whole.std()) == pytest.approx(1.0, rel=0.03)  # standard scores: both channels have deviation 1
    assert (found[1.0].observed == clean.observed).all()


def test_an_example_draws_each_channel_and_interrupts_the_line_at_gaps(folder):
    shown = SERIES.example_html("a.csv", folder)
    assert shown.count("<svg") == 2 and "<small>y</small>" in shown
    line = drawn_line(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, np.nan, 2]))
    assert line.count("<polyline") == 2 and 'points="0.0,32.0 80.0,16.0"' in line
    assert drawn_line(np.array([0.0]), np.array([np.nan])) == "no numbers"


def test_bytes_are_read_as_a_service_gets_them():
    assert len(SERIES.decode(io.BytesIO(TEXT.encode())).times) == 3
