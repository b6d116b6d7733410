"""LibriSpeech: parts are splits, recordings stay where they are, test-other may be absent."""

import numpy as np
import pytest
import soundfile

from mmbert.core.errors import DataError
from mmbert.data.sets.librispeech import LibriSpeech
from prepared_sets import built, splits_of


@pytest.fixture
def folder(tmp_path):
    for part, speaker in (("train-clean-100", 19), ("dev-clean", 84), ("test-clean", 61)):
        place = tmp_path / "LibriSpeech" / part / str(speaker) / "7"
        place.mkdir(parents=True)
        for number in range(2):
            soundfile.write(place / f"{speaker}-7-{number:04d}.flac", np.zeros(160), 16000)
        lines = [f"{speaker}-7-{number:04d} THE DOG'S BONE" for number in range(2)]
        (place / f"{speaker}-7.trans.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_utterances_become_rows(folder, tmp_path):
    data, rows = built(LibriSpeech, folder, tmp_path / "home")
    assert {split: len(ids) for split, ids in splits_of(rows).items()} == {"train": 2, "val": 2, "test": 2}
    assert (rows[0]["transcript"], rows[0]["speaker"], rows[0]["part"]) == ("THE DOG'S BONE", "19", "train-clean-100")
    assert rows[0]["audio"] == str((folder / "LibriSpeech/train-clean-100/19/7/19-7-0000.flac").resolve())
    assert any("test-other is not there" in note for note in data.notes)


def test_a_part_that_is_not_there_and_a_line_without_words_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="has no folder train-clean-360"):
        built(LibriSpeech, folder, tmp_path / "home", train=["train-clean-100", "train-clean-360"])
    (folder / "LibriSpeech/dev-clean/84/7/84-7.trans.txt").write_text("84-7-0000 A\n84-7-0001\n")
    with pytest.raises(DataError, match=r"84-7.trans.txt, line 2: '84-7-0001' is no utterance"):
        built(LibriSpeech, folder, tmp_path / "home")
