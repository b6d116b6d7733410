"""Computational sequences: words and frames go to the interval that they lie in, folds are read and not run."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.csd import MoseiCsd, MosiCsd, read_folds, words_within
from prepared_sets import built, splits_of

h5py = pytest.importorskip("h5py")

FOLDS = """
standard_train_fold=['v1', 'v4']
standard_valid_fold = ["v2"]
standard_test_fold=['v3']
"""


def write(path, name, videos):
    with h5py.File(path, "w") as file:
        data = file.create_group(name).create_group("data")
        file[name].create_group("metadata")
        for video, (intervals, features) in videos.items():
            group = data.create_group(video)
            group["intervals"], group["features"] = np.asarray(intervals, float), features


@pytest.fixture
def folder(tmp_path):
    """Three videos of two intervals, [0, 1) and [1.5, 3); a fourth is in no fold; v2 has no frames of the face."""
    intervals = [[1.5, 3.0], [0.0, 1.0]]  # not in the order of time
    labels = {video: (intervals, np.array([[2.0], [-1.5]])) for video in ("v1", "v2", "v3", "v9")}
    words = np.array([[b"well"], [b"sp"], [b"yes"], [b"no"]])
    spoken = [[0, 0.4], [0.4, 0.9], [0.9, 1.6], [2, 2.5]]
    frames = [[t / 2, t / 2 + 0.5] for t in range(6)]  # middles 0.25, 0.75, 1.25, ...
    write(tmp_path / "CMU_MOSI_Opinion_Labels.csd", "Opinion", labels)
    write(tmp_path / "CMU_MOSI_TimestampedWords.csd", "words", dict.fromkeys(labels, (spoken, words)))
    write(tmp_path / "CMU_MOSI_TimestampedWordVectors.csd", "vectors", {"v1": (spoken, np.ones((4, 2)))})
    face = np.arange(12.0).reshape(6, 2)
    face[1, 1] = np.nan
    write(tmp_path / "CMU_MOSI_Visual_Facet_41.csd", "Facet", dict.fromkeys(("v1", "v3", "v9"), (frames, face)))
    write(tmp_path / "CMU_MOSI_COVAREP.csd", "COVAREP", dict.fromkeys(labels, (frames, -face)))
    (tmp_path / "cmu_mosi_std_folds.py").write_text(FOLDS)
    return tmp_path


def test_intervals_become_rows_with_the_words_and_frames_in_them(folder, tmp_path):
    data, rows = built(MosiCsd, folder, tmp_path / "home")
    assert splits_of(rows) == {"train": ["v1[1]", "v1[0]"], "val": ["v2[1]", "v2[0]"], "test": ["v3[1]", "v3[0]"]}
    first, second = rows[:2]
    assert (first["text"], first["sentiment"], first["polarity"], first["start"]) == (
        "well yes",
        "-1.5",
        "negative",
        "0.0",
    )
    assert (second["text"], second["sentiment"], second["polarity"]) == ("yes no", "2.0", "positive")
    assert np.load(data.path.parent / first["vision"]).tolist() == [[0, 1], [2, 0]]  # NaN became 0
    assert np.load(data.path.parent / second["vision"]).tolist() == [[6, 7], [8, 9], [10, 11]]  # 1.75, 2.25, 2.75
    assert rows[2]["vision"] == "" and rows[2]["acoustic"]
    assert any("1 videos are in no fold" in note for note in data.notes)


def test_mosei_has_six_emotions(folder, tmp_path):
    values = np.array([[1.0, 0, 1, 2, 3, 0, 0.5]])
    write(folder / "CMU_MOSEI_All_Labels.csd", "All Labels", {v: ([[0, 1]], values) for v in ("v1", "v2", "v3")})
    (folder / "CMU_MOSI_Opinion_Labels.csd").unlink()
    _, rows = built(MoseiCsd, folder, tmp_path / "home")
    assert (rows[0]["sentiment"], rows[0]["anger"], rows[0]["surprise"], rows[0]["fear"]) == (
        "1.0",
        "2.0",
        "3.0",
        "0.5",
    )


def test_several_files_for_one_modality_want_a_choice(folder, tmp_path):
    write(folder / "CMU_MOSI_Visual_Facet_42.csd", "Facet", {})
    with pytest.raises(DataError, match=r"several files fit \*Facet\*.csd .*data.vision or data.acoustic"):
        built(MosiCsd, folder, tmp_path / "home")
    _, rows = built(MosiCsd, folder, tmp_path / "home", vision="*Facet_41")
    assert len(rows) == 6


def test_what_is_no_sequence_and_no_folds_is_refused(folder, tmp_path):
    (folder / "cmu_mosi_std_folds.py").write_text("standard_train_fold = open('x')")
    with pytest.raises(DataError, match="does not hold the lists standard_train_fold"):
        read_folds(folder / "cmu_mosi_std_folds.py")
    (folder / "CMU_MOSI_COVAREP.csd").write_bytes(b"no hdf5")
    with pytest.raises(DataError, match="CMU_MOSI_COVAREP.csd is no computational sequence"):
        built(MosiCsd, folder, tmp_path / "home")


def test_words_that_touch_an_interval_are_outside():
    intervals, words = np.array([[0, 1], [1, 2], [2, 3]]), np.array([["a"], ["b"], ["c"]])
    assert words_within(intervals, words, 1, 2) == "b"
