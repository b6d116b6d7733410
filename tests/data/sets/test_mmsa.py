"""MMSA's pickles: padding and infinity leave the features, labels keep their signs, and a pickle runs no code."""

import pickle

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.feature_rows import made_finite, unpadded
from mmbert.data.sets.mmsa import ChSims, Mosi
from mmbert.data.sets.plain_pickle import read_plain_pickle
from prepared_sets import built, splits_of

COVERS = ("feature_rows", "plain_pickle")


def part(count, sims=False, lengths=True):
    """A split of ``count`` clips: audio of 2 to 4 of 6 vectors, vision padded at the front."""
    generator = np.random.default_rng(count)
    audio, vision = np.zeros((count, 6, 3), np.float32), np.zeros((count, 5, 2), np.float32)
    for i in range(count):
        audio[i, : 2 + i % 3] = generator.normal(size=(2 + i % 3, 3)) + 5
        vision[i, 2:] = generator.normal(size=(3, 2)) + 5
    audio[0, 1, 1] = -np.inf
    found = {
        "raw_text": [f" words {i}" for i in range(count)],
        "id": [f"vid{i // 2}$_${i}" for i in range(count)],
        "audio": audio,
        "vision": vision,
        "text_bert": np.zeros((count, 3, 4)),
        "annotations": ["Negative"] * count,
        "regression_labels": np.linspace(-1, 1, count, dtype=np.float32),
    }
    if lengths:
        found |= {"audio_lengths": [2 + i % 3 for i in range(count)], "vision_lengths": [5] * count}
    if sims:
        found |= {f"regression_labels_{letter}": np.linspace(0, 1, count) for letter in "TAV"}
    return found


@pytest.fixture
def folder(tmp_path):
    content = {"train": part(5), "valid": part(3), "test": part(3)}
    (tmp_path / "unaligned_50.pkl").write_bytes(pickle.dumps(content, protocol=4))
    return tmp_path


def test_clips_become_rows_with_files_of_features_without_padding(folder, tmp_path):
    data, rows = built(Mosi, folder, tmp_path / "home")
    assert {split: len(ids) for split, ids in splits_of(rows).items()} == {"train": 5, "val": 3, "test": 3}
    assert [row["polarity"] for row in rows[:5]] == ["negative", "negative", "neutral", "positive", "positive"]
    assert [float(row["sentiment"]) for row in rows[:5]] == [-1, -0.5, 0, 0.5, 1]
    assert rows[1]["text"] == "words 1" and rows[1]["video"] == "vid0" and rows[1]["id"] == "vid0$_$1"
    arrays = [np.load(data.path.parent / row["acoustic"]) for row in rows[:5]]
    assert [len(array) for array in arrays] == [2, 3, 4, 2, 3]
    assert arrays[0].dtype == np.float32 and arrays[0][1, 1] == 0 and np.isfinite(arrays[0]).all()
    source = part(5)
    np.testing.assert_array_equal(arrays[2], source["audio"][2, :4])
    np.testing.assert_array_equal(np.load(data.path.parent / rows[0]["vision"]), source["vision"][0, 2:])
    assert "3 numbers of the features are infinite or none, and became 0" in data.notes


def test_a_clip_of_zeros_lacks_the_modality_and_ch_sims_has_a_number_for_each(tmp_path):
    content = {name: part(3, sims=True, lengths=False) for name in ("train", "valid", "test")}
    content["train"]["vision"][1] = 0
    (tmp_path / "unaligned_39.pkl").write_bytes(pickle.dumps(content))
    _, rows = built(ChSims, tmp_path, tmp_path / "home")
    assert [bool(row["vision"]) for row in rows[:3]] == [True, False, True]
    assert [float(row["audio_label"]) for row in rows[:3]] == [0, 0.5, 1]


def test_the_alignment_that_is_not_there_is_said_with_those_that_are(folder, tmp_path):
    with pytest.raises(DataError, match=r"no pickle called aligned_\*.pkl; it has unaligned_50.pkl"):
        built(Mosi, folder, tmp_path / "home", alignment="aligned")


class Harmless:
    """A class of this test; a pickle that names it is no pickle of arrays."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"train": Harmless()}), "which is no array"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"a": np.ones(3)})[:-20], "cannot be read as a pickle of arrays"),
        (b"no pickle", "cannot be read as a pickle of arrays"),
    ],
)
def test_what_is_no_pickle_of_arrays_is_refused(tmp_path, content, message):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_plain_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_arrays_of_every_kind_come_back(tmp_path, protocol):
    content = {"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(1.5), "text"], "c": np.array(["x", "yz"])}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_plain_pickle(tmp_path / "x.pkl")
    np.testing.assert_array_equal(found["a"], content["a"])
    assert found["b"] == content["b"] and found["c"].tolist() == ["x", "yz"]


def test_padding_is_zeros_at_the_ends_alone():
    sequence = np.array([[0, 0], [1, 0], [0, 0], [2, 2], [0, 0]])
    assert unpadded(sequence).tolist() == [[1, 0], [0, 0], [2, 2]]
    assert unpadded(sequence, 2).tolist() == [[1, 0]]
    assert unpadded(np.zeros((3, 2))).shape == (0, 2)
    finite, count = made_finite(np.array([[np.nan, 1.0], [np.inf, -np.inf]]))
    assert count == 3 and finite.tolist() == [[0, 1], [0, 0]]
