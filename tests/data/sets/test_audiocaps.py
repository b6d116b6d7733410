"""AudioCaps: five captions of one clip are one row, clips that are not there are counted."""

import json

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.sets.audiocaps import AudioCaps
from prepared_sets import built

HEAD = "audiocap_id,youtube_id,start_time,caption\n"


@pytest.fixture
def folder(tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
    (tmp_path / "train.csv").write_text(HEAD + '1,abc,30,"A dog  barks, twice"\n2,gone,0,Rain\n')
    (tmp_path / "val.csv").write_text(HEAD + "3,def,10,Wind\n4,def,10,A storm\n")
    (tmp_path / "test.csv").write_text(HEAD + "5,-x_y,40,Bells\n")
    for name in ("train/1", "val/def_10", "test/-x_y"):  # each way of naming
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(80), 8000)
    return tmp_path


def test_clips_become_rows(folder, tmp_path):
    data, rows = built(AudioCaps, folder, tmp_path / "home")
    assert [(row["split"], row["id"], row["caption"]) for row in rows] == [
        ("train", "1", "A dog barks, twice"),
        ("val", "3", "Wind"),
        ("test", "5", "Bells"),
    ]
    assert json.loads(rows[1]["captions"]) == ["Wind", "A storm"]
    assert "train: 1 of 2 clips are not there and are left out" in data.notes


def test_another_table_is_refused(folder, tmp_path):
    (folder / "val.csv").write_text("id,caption\n1,x\n")
    with pytest.raises(DataError, match="val.csv lacks the column audiocap_id"):
        built(AudioCaps, folder, tmp_path / "home")
