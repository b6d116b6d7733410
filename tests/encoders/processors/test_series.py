"""Standard scores of series, what is learnt of train, parts of files, and where series are cut."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.series import MODALITY as SERIES
from mmbert.data.modalities.series_reading import Series, SeriesReading
from mmbert.encoders.processors.series import SeriesProcessor, joined_moments, learnt_series, statistics_of

STATISTICS = {"x": {"mean": 1.0, "std": 2.0}, "y": {"mean": 0.0, "std": 0.5}}


def table(folder: Path, files: dict[str, str], rows: list[dict]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "t.csv"


def learnt(folder, files, rows, columns=None, **reading):
    data = MultimodalData(table(folder, files, rows), columns or {}, num_workers=0)
    return learnt_series(data.train_cells("wrist", SERIES), SeriesReading(**reading))


def split(names):
    rows = [{"wrist": name, "label": "a", "split": "train"} for name in names]
    return [
        *rows,
        {"wrist": "far.csv", "label": "a", "split": "val"},
        {"wrist": "far.csv", "label": "b", "split": "test"},
    ]


FAR = "time,x,y\n0,1000,1000\n1,2000,1000\n"


def test_statistics_are_those_of_all_rows_of_train_alone(tmp_path):
    files = {"a.csv": "time,x,y,word\n0,1,5,a\n2,2,,b\n", "b.csv": "time,x,y\n0,6,5\n1,,5\n2,,5\n", "far.csv": FAR}
    found = learnt(tmp_path, files, split(["a.csv", "b.csv", ""]))
    x = np.array([1, 2, 6])
    assert list(found.statistics) == ["x", "y"]
    assert found.statistics["x"] == pytest.approx({"mean": x.mean(), "std": x.std()})
    assert found.statistics["y"] == {"mean": 5.0, "std": 1.0}  # all equal
    assert found.step_seconds == 1.5  # the median of 2 and 1


def test_of_parts_of_a_file_only_those_of_train_count(tmp_path):
    """The rest of the file is that of other splits."""
    files = {"long.csv": "time,x\n" + "".join(f"{t},{t * t}\n" for t in range(10))}
    spans = [("train", 0, 3), ("train", 5, 6), ("val", 3, 5), ("test", 6, 10)]
    rows = [{"wrist": "long.csv", "from": a, "to": b, "label": "a", "split": name} for name, a, b in spans]
    found = learnt(tmp_path, files, rows, {"start": "from", "end": "to"})
    values = np.array([0, 1, 4, 25])
    assert found.statistics["x"] == pytest.approx({"mean": values.mean(), "std": values.std()})


def test_a_channel_without_a_number_in_train_is_left_out_unless_it_is_asked_for(tmp_path):
    files = {"a.csv": "time,x,y\n0,1,\n1,2,\n", "far.csv": FAR}
    assert list(learnt(tmp_path, files, split(["a.csv"])).statistics) == ["x"]
    with pytest.raises(DataError, match="channel 'y' of 'wrist' has no number in all of train"):
        learnt(tmp_path, files, split(["a.csv"]), channels=("x", "y"))
    with pytest.raises(DataError, match="column of series 'wrist' has no number in all"):
        learnt(tmp_path, files, [{"wrist": "", "label": "a", "split": "train"}, *split(["a.csv"])[1:]])


def test_channels_that_differ_between_files_are_named(tmp_path):
    files = {"a.csv": "time,x,y\n0,1,1\n1,2,2\n", "b.csv": "time,x,z\n0,1,1\n1,2,2\n", "far.csv": FAR}
    message = r"row 2 \(line 3\), .*numbers are x, z, and those .* row 1 \(line 2\) are x, y: 'y' is in one .*channels="
    with pytest.raises(DataError, match=message):
        learnt(tmp_path, files, split(["a.csv", "b.csv"]))
    assert list(learnt(tmp_path, files, split(["a.csv", "b.csv"]), channels=("x",)).statistics) == ["x"]


@given(st.lists(st.lists(st.floats(-1e3, 1e3), max_size=8), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_moments_joined_file_by_file_are_those_of_all_numbers(files):
    everything = np.concatenate([np.array(values, float) for values in files])
    found = np.zeros(3)
    for values in files:
        found = joined_moments(found, np.array(values, float))
    assert found[0] == len(everything)
    if len(everything):
        assert found[1] == pytest.approx(everything.mean(), abs=1e-9)
        assert found[2] == pytest.approx(((everything - everything.mean()) ** 2).sum(), rel=1e-9, abs=1e-6)


def test_numbers_too_large_for_a_deviation_are_refused():
    with pytest.raises(DataError, match="channel 'x': its numbers are so large"):
        statistics_of("x", joined_moments(np.zeros(3), np.array([1e300, -1e300])))


def test_scores_rows_and_positions_by_hand():
    raw = Series(
        np.array([3.0, 3.5, 4.0, 6.0]), np.array([[np.nan] * 2, [5, np.nan], [np.nan] * 2, [1, 1]]), ("x", "y")
    )
    found = SeriesProcessor(SeriesReading(), STATISTICS, step_seconds=0.5).prepare(raw)
    assert found.values.tolist() == [[2, 0], [0, 2]] and found.observed.tolist() == [[True, False], [True, True]]
    assert found.positions.tolist() == [0, 5]  # 2.5 s after the first row that has a number
    grid = SeriesProcessor(SeriesReading(), STATISTICS, rate=0.8, max_gap=5.0).prepare(raw)
    assert grid.values[:, 0].tolist() == [2, 1, 0] and grid.positions.tolist() == [0, 1, 2]  # x: 5, 3, 1
    assert grid.observed[:, 1].tolist() == [False, False, True]


def test_what_is_prepared_travels_packed_and_batches_are_padded():
    raws = [Series(np.arange(n) / 2, np.arange(2.0 * n).reshape(n, 2), ("x", "y")) for n in (3, 5)]
    raws[0].values[1] = np.nan
    processor = SeriesProcessor(SeriesReading(), STATISTICS, rate=4.0, max_gap=0.5)
    packed = [processor.unpack(*processor.pack(raw)) for raw in raws]
    inputs = processor.collate([processor.prepare(raws[0]), None, packed[1]])
    assert inputs["mask"].sum(1).tolist() == [2, 0, 9]  # 0 and 1 s are further apart than max_gap
    assert inputs["mask"][0].tolist() == [True, False, False, False, True, False, False, False, False]
    assert not inputs["values"][~inputs["mask"]].any() and inputs["values"].dtype == torch.float32
    assert processor.collate([None])["mask"].tolist() == [[False]]
    assert json.loads(json.dumps(processor.settings()))["statistics"] == STATISTICS


def test_what_cannot_be_prepared_names_the_file():
    processor = SeriesProcessor(SeriesReading(), STATISTICS, rate=50.0)
    for values, times, message in (
        ([[np.nan, np.nan]] * 2, [0, 1], "a.csv: it has no number in x, y: leave its cell empty"),
        ([[1e39, 1]] * 2, [0, 1], "a.csv: its column 'x' has a number that is too far from the mean"),
        ([[1, 1]] * 2, [0, 1e9], "a.csv: its 2 rows last 1,000,000,000 s"),
    ):
        with pytest.raises(DataError, match=message):
            processor.prepare(Series(np.array(times, float), np.array(values, float), ("x", "y"), "a.csv"))


def test_long_series_are_cut_and_counted(tmp_path):
    (tmp_path / "a.csv").write_text("time,x,y\n" + "".join(f"{t},{t if t != 5 else ''},\n" for t in range(10)))
    (tmp_path / "bad.csv").write_text("time,x,y\n1,1,1\n0,1,1\n")
    for rate, steps in ((None, 9), (2.0, 19)):
        processor = SeriesProcessor(SeriesReading(), STATISTICS, rate, max_steps=7)
        limit = processor.length_limit
        assert (limit.option, limit.most, limit.unit) == ("max_steps", 7, "steps")
        assert limit.measure(["a.csv", "bad.csv", "gone.csv"], tmp_path) == [steps, 0, 0]
        assert len(processor.prepare(processor.modality.read("a.csv", tmp_path)).positions) == 7


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_a_part_equals_the_file_cut_by_hand(tmp_path_factory, data):
    count = data.draw(st.integers(4, 25))
    times = np.round(np.cumsum(data.draw(st.lists(st.floats(0.1, 2), min_size=count, max_size=count))), 3)
    cells = data.draw(st.lists(st.sampled_from(["", "1", "2.5", "-3"]), min_size=count, max_size=count))
    begin, end = sorted(data.draw(st.tuples(st.sampled_from(times.tolist()), st.sampled_from(times.tolist()))))
    rate = data.draw(st.none() | st.floats(0.5, 5))
    folder = tmp_path_factory.mktemp("cut")
    lines = [f"{time!r},{cell},1\n" for time, cell in zip(times.tolist(), cells, strict=True)]
    kept = [line for line, time in zip(lines, times, strict=True) if begin <= time < end]
    if len(kept) < 2:
        return
    (folder / "long.csv").write_text("time,x,y\n" + "".join(lines))
    (folder / "cut.csv").write_text("time,x,y\n" + "".join(kept))
    processor = SeriesProcessor(SeriesReading(), STATISTICS, rate)
    part = processor.prepare(processor.modality.read({"path": "long.csv", "start": begin, "end": end}, folder))
    whole = processor.prepare(processor.modality.read("cut.csv", folder))
    for one, other in zip(part, whole, strict=True):
        assert torch.equal(one, other)
