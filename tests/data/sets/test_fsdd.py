"""Recordings by digit, speaker and index, split by speaker or as the set itself does."""

import pandas as pd
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.fsdd import FreeSpokenDigits
from raw_packages import real_sources, sound, tar_bytes

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
RAW = {
    f"fsdd/recordings/{digit}_{speaker}_{index}.wav": sound(digit)
    for digit in (0, 7)
    for speaker in SPEAKERS
    for index in (0, 4, 5, 9, 10, 49)
}


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))
    path = tmp_path / "fsdd.tar.gz"
    path.write_bytes(tar_bytes({**RAW, "fsdd/README.md": b"", "fsdd/recordings/.DS_Store": b""}))
    return path


def table_of(data):
    return pd.read_csv(data.path, keep_default_na=False)


def test_no_speaker_of_test_is_heard_in_train(archive):
    table = table_of(FreeSpokenDigits(source=archive))
    assert len(table) == len(RAW) and list(table.columns)[:3] == ["id", "split", "audio"]
    by_split = {split: set(rows["speaker"]) for split, rows in table.groupby("split")}
    assert by_split == {"train": {"george", "jackson", "yweweler"}, "val": {"nicolas"}, "test": {"lucas", "theo"}}


def test_the_sets_own_split_is_by_index(archive):
    table = table_of(FreeSpokenDigits(source=archive, split_by="index"))
    by_split = {split: set(rows["index"]) for split, rows in table.groupby("split")}
    assert by_split == {"train": {10, 49}, "val": {5, 9}, "test": {0, 4}}
    assert set(table[table["split"] == "test"]["speaker"]) == set(SPEAKERS)


def test_a_digit_is_a_number_and_a_word(archive):
    data = FreeSpokenDigits(source=archive)
    table = table_of(data)
    assert set(zip(table["digit"], table["transcript"], strict=True)) == {(0, "zero"), (7, "seven")}
    assert (data.path.parent / table["audio"][0]).read_bytes() == RAW["fsdd/recordings/0_george_0.wav"]


def test_a_recording_of_another_name_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))
    path = tmp_path / "fsdd.tar.gz"
    path.write_bytes(tar_bytes({**RAW, "fsdd/recordings/seven_theo_1.wav": b""}))
    with pytest.raises(DataError, match=r"seven_theo_1.wav: a recording is called DIGIT_SPEAKER_INDEX"):
        FreeSpokenDigits(source=path)


@pytest.mark.slow
def test_the_real_files_have_fifty_recordings_of_each_digit_and_speaker(tmp_path):
    table = table_of(FreeSpokenDigits(source=real_sources("fsdd*.tar.gz") / "fsdd.tar.gz", folder=tmp_path))
    assert set(table.groupby(["digit", "speaker"]).size()) == {50} and len(table) == 3000
