"""A column of clips gives picture and sound; what a clip lacks is missing; parts are cut by columns of times."""

import csv
import json
import os

import numpy as np
import pytest

from made_clips import make_clip, tone
from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.clip_files import clip_facts
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.encoders.video import VideoEncoder

SPLITS = ["train", "train", "train", "val", "test"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder / "both.mp4", seconds=3.0)
    make_clip(folder / "silent.mp4", seconds=1.0, audio=None)
    make_clip(folder / "blind.mp4", seconds=1.0, video=None)
    for clip in folder.iterdir():  # what was written in the last two seconds is not remembered
        os.utime(clip, (1_000_000_000, 1_000_000_000))
    return folder


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))


def table(folder, rows, header=("clip", "split", "label")):
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "t.csv"


def bound(path, columns=None, **options):
    data = MultimodalData(
        path, {"video": "clip", "audio": "clip", **(columns or {})}, batch_size=4, num_workers=0, **options
    )
    encoders = {"video": VideoEncoder("tiny", False, frames=2), "audio": MelspecCNN(8, [4], [2], 16)}
    data.bind({name: encoder.processor for name, encoder in encoders.items()}, {})
    return data


def test_one_column_of_clips_is_picture_and_sound_and_what_a_clip_lacks_is_missing(folder):
    clips = ["both.mp4", "silent.mp4", "blind.mp4", "both.mp4", "both.mp4"]
    data = bound(table(folder, [(clip, split, "x") for clip, split in zip(clips, SPLITS, strict=True)]))
    samples = [data.dataset("train")[place].prepared for place in range(3)]
    assert [(s["video"] is None, s["audio"] is None) for s in samples] == [(False, False), (False, True), (True, False)]
    assert data.notes == [
        "1 clip has no moving pictures: 'video' counts as missing there",
        "1 clip has no sound: 'audio' counts as missing there",
    ]
    batch = next(iter(data.plain_loader("train")))
    assert batch.inputs["video"]["mask"].any(1).tolist() == [True, True, False]
    assert batch.inputs["audio"]["mask"].any(1).tolist() == [True, False, True]


def test_what_clips_lack_counts_wherever_empty_cells_count(folder, tmp_path):
    (tmp_path / "blind.mp4").write_bytes((folder / "blind.mp4").read_bytes())
    (tmp_path / "both.mp4").write_bytes((folder / "both.mp4").read_bytes())
    rows = [("both.mp4", split, "x") for split in SPLITS] + [("blind.mp4", "train", "x")]
    path = table(tmp_path, rows)
    assert len(bound(path, rows_without="skip").rows["train"]) == 3
    data = MultimodalData(path, {"video": "clip"}, num_workers=0)
    with pytest.raises(DataError, match=r"row 6 \(line 7\): every modality is missing \(clip \(video\) is empty\)"):
        data.bind({"video": VideoEncoder("tiny", False).processor}, {})


def test_headers_are_read_once(folder, monkeypatch):
    rows = [("both.mp4", split, "x") for split in SPLITS]
    opened = []
    real = clip_facts
    monkeypatch.setattr(
        "mmbert.data.modalities.clip_files.clip_facts", lambda source: opened.append(source) or real(source)
    )
    bound(table(folder, rows))
    assert len(opened) == 2  # for pictures and for sound, of five rows
    bound(table(folder, rows))
    assert len(opened) == 2
    bound(table(folder, rows), check_files=False)
    assert len(opened) == 2


def test_columns_of_times_cut_parts_out_of_a_long_file(folder):
    header = ("clip", "split", "label", "from", "to")
    times = [("0.5", "1.5"), ("1", "0:02"), ("", "1"), ("2", ""), ("", "")]
    rows = [("both.mp4", split, "x", *pair) for split, pair in zip(SPLITS, times, strict=True)]
    data = bound(table(folder, rows, header), {"start": "from", "end": "to"})
    cells = data.table.column(data.column_of("audio"))
    assert [(cell["start"], cell["end"]) for cell in cells] == [
        *((0.5, 1.5), (1, 2), (None, 1), (2, None), (None, None)),
    ]
    dataset = data.dataset("train")
    samples, rate = dataset.raw("audio", data.table.cell(0, data.column_of("audio")))
    assert len(samples) == rate and np.abs(samples - tone(1.0, rate, begin=0.5)).max() < 0.05
    assert dataset[0].prepared["video"]["times"].tolist() == [0.25, 0.75]
    greys = [float(dataset[place].prepared["video"]["pictures"].mean()) for place in range(3)]
    assert greys[2] < greys[0] < greys[1]
    assert {len(data.dataset(split)) for split in ("val", "test")} == {1}


def test_times_that_cannot_be_used_are_refused_or_left_out(folder):
    header = ("clip", "split", "label", "from", "to")
    times = [("0.5", "1.5"), ("2", "1"), ("soon", ""), ("", ""), ("", "")]
    rows = [("both.mp4", split, "x", *pair) for split, pair in zip(SPLITS, times, strict=True)]
    path = table(folder, rows, header)
    with pytest.raises(
        DataError, match=r"row 2 \(line 3\), column 'from' and 'to': the part ends at 1 s.*\(2 rows are"
    ):
        bound(path, {"start": "from", "end": "to"})
    kept = bound(path, {"start": "from", "end": "to"}, on_error="skip")
    assert len(kept.rows["train"]) == 1 and sorted(kept.skipped) == [1, 2]
    with pytest.raises(DataError, match=r"has no column 'form'.*from.*data\.columns\.start=null reads whole files"):
        bound(path, {"start": "form"})


def test_the_check_of_data_tells_them_too(folder):
    from mmbert.data.quality.check import EncoderInput, check_data

    header = ("clip", "split", "label", "from", "to")
    times = [("0.5", "1.5"), ("2", "1"), ("1", "9"), ("", ""), ("", "")]
    clips = ["both.mp4", "both.mp4", "both.mp4", "silent.mp4", "both.mp4"]
    rows = [(clip, split, "x", *pair) for clip, split, pair in zip(clips, SPLITS, times, strict=True)]
    data = MultimodalData(
        table(folder, rows, header), {"video": "clip", "audio": "clip", "start": "from", "end": "to"}, num_workers=0
    )
    encoders = {"video": VideoEncoder("tiny", False), "audio": MelspecCNN(8, [4], [2], 16)}
    from mmbert.data.modalities.registry import modality_of

    report = check_data(data, {name: EncoderInput(modality_of(each)) for name, each in encoders.items()}, {})
    found = json.dumps([(finding.severity, finding.what, finding.rows) for finding in report.findings])
    assert "the part ends at 1 s and begins at 2 s" in found
    assert "only 2.0" in found and "1 clip has no sound: 'audio' counts as missing there" in found


def test_subtitles_are_cut_with_the_sound(folder):
    lines = "1\n00:00:00,100 --> 00:00:00,900\none\n\n2\n00:00:01,100 --> 00:00:01,900\ntwo\n"
    (folder / "both.srt").write_text(lines)
    header = ("clip", "split", "label", "from", "to", "words")
    times = [("0", "1"), ("1", "2"), ("", ""), ("0", "1"), ("0", "1")]
    rows = [("both.mp4", split, "x", *pair, "both.srt") for split, pair in zip(SPLITS, times, strict=True)]
    path = table(folder, rows, header)
    data = MultimodalData(path, {"text": "words", "start": "from", "end": "to"}, num_workers=0)
    text = TextEncoder("tiny", False)
    data.bind({"text": text.processor}, {})
    dataset = data.dataset("train")
    said = [dataset.raw("text", data.table.cell(row, data.column_of("text"))) for row in range(3)]
    assert said == ["one", "two", "one two"]
    whole = MultimodalData(path, {"text": "words"}, num_workers=0)
    whole.bind({"text": text.processor}, {})
    assert whole.dataset("train").raw("text", whole.table.cell(0, whole.column_of("text"))) == "both.srt"
