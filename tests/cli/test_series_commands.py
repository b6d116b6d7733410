"""Text and series together from the command line: training, parts of long files, gaps, shards, predictions."""

import csv
import json

import numpy as np
import pytest

from mmbert.cli import pack
from mmbert.model import MultimodalModel

SERIES = (
    "+series@encoders.wrist=patches",
    "encoders.wrist.rate=10",
    "encoders.wrist.out_dim=16",
    "encoders.wrist.layers=1",
)


def sensor(path, seed, rows=40, empty=False):
    rng = np.random.default_rng(seed)
    cells = ["," if empty else f"{x:.4f},{y:.4f}" for x, y in rng.standard_normal((rows, 2))]
    path.write_text("time,x,y,note\n" + "".join(f"{k / 20:.2f},{cell},ok\n" for k, cell in enumerate(cells)))


@pytest.fixture
def recordings(here):
    """``my.csv`` with a column of files; row 2 has none, and the file of row 3 has no number."""
    rows = list(csv.DictReader((here / "my.csv").open()))
    for number, row in enumerate(rows):
        row["wrist"] = "" if number == 1 else f"{number}.csv"
        sensor(here / f"{number}.csv", number, 30 + number, empty=number == 2)
    write(here, rows)
    return here


def write(folder, rows):
    with (folder / "my.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def config_of(folder):
    return json.loads((folder / "out" / "model" / "config.json").read_text())["encoders"]["wrist"]["args"]


@pytest.mark.slow
def test_text_and_series_are_trained_and_a_file_of_gaps_is_missing(train, recordings):
    ended = train(*SERIES)
    assert ended.code == 0, ended.err
    assert "1 series has no number: 'wrist' counts as missing there" in ended.out + ended.err
    kept = config_of(recordings)
    values = [
        np.genfromtxt(recordings / f"{number}.csv", delimiter=",", skip_header=1, usecols=1)
        for number in range(8)
        if number not in (1, 2)
    ]
    everything = np.concatenate(values)  # those of train alone
    found = kept["statistics"]["x"]
    assert found == pytest.approx({"mean": everything.mean(), "std": everything.std()})
    model = MultimodalModel.from_pretrained(str(recordings / "out" / "model"))
    times, grid = np.arange(30) / 20, np.genfromtxt(recordings / "0.csv", delimiter=",", skip_header=1, usecols=(1, 2))
    by_file, by_values = model.predict([{"wrist": recordings / "0.csv"}, {"wrist": (times, grid)}])
    assert by_file["label"]["probabilities"] == pytest.approx(by_values["label"]["probabilities"], abs=1e-6)


@pytest.mark.slow
def test_shards_give_the_same_run_as_files(train, recordings, monkeypatch):
    words = ("encoders.wrist.frozen=true", "encoders.text.frozen=true", *SERIES)
    assert train(*words).code == 0
    first = json.loads((recordings / "out" / "metrics.json").read_text())
    monkeypatch.setattr(
        "sys.argv",
        ["mmbert-pack", "data=manifest", "data.path=my.csv", *SERIES, "text=tiny", "image=none", "audio=none"]
        + ["out=packed", "shuffle=false"],
    )
    pack.main()
    assert train(*words, "data=webdataset", "data.path=packed", "hydra.run.dir=out2").code == 0
    second = json.loads((recordings / "out2" / "metrics.json").read_text())
    losses = {name for name in first if name.endswith("loss")}
    assert {"val/loss", "test/loss"} <= losses
    assert {name: second[name] for name in losses} == pytest.approx({name: first[name] for name in losses}, rel=1e-5)


def test_parts_of_a_long_file_are_samples(train, here):
    sensor(here / "long.csv", 0, 320)
    rows = list(csv.DictReader((here / "my.csv").open()))
    for number, row in enumerate(rows):
        row |= {"wrist": "long.csv", "from": str(number), "to": str(number + 1)}
    write(here, rows)
    times = ("data.columns.start=from", "data.columns.end=to")
    ended = train(*SERIES, *times, "text=none")
    assert ended.code == 0, ended.err
    kept = config_of(here)
    found = kept["statistics"]["x"]
    values = np.genfromtxt(here / "long.csv", delimiter=",", skip_header=1, usecols=1)[: 8 * 20]  # train: 0 to 8 s
    assert found == pytest.approx({"mean": values.mean(), "std": values.std()})
    rows[5] |= {"from": "99", "to": "100"}
    write(here, rows)
    ended = train(*SERIES, *times, "text=none", "hydra.run.dir=out3")
    assert ended.code == 2 and "its times go from 0 to 15.95 s, and the part from 99 to 100 s is asked for" in ended.err
