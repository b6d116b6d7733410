"""Building the demo set: how rows are shared out, one row with its files, and folders that are left alone."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.digits import speech
from mmbert.data.digits.build import LACKS, build_talking_digits, chunks, dataset_card, write_row
from mmbert.data.digits.options import TalkingDigitsOptions

OPTIONS = TalkingDigitsOptions(train=600, val=250, test=1, test_missing=2)


def test_splits_are_built_in_chunks_of_250_rows():
    assert chunks(OPTIONS) == [
        ("train", range(250)),
        ("train", range(250, 500)),
        ("train", range(500, 600)),
        ("val", range(250)),
        ("test", range(1)),
        ("test_missing", range(2)),
    ]


@pytest.mark.parametrize("index", range(7))
def test_a_row_of_test_missing_lacks_what_its_number_says(tmp_path, index):
    for name in ("images", "audio"):
        (tmp_path / name).mkdir()
    scans = {digit: np.ones((1, 8, 8)) for digit in range(10)}
    noise = np.random.default_rng(0).normal(size=(13, speech.RATE_HZ // 4)).astype(np.float32)
    spoken = {f"0-{number}": sound for number, sound in enumerate(noise)}
    rng = np.random.default_rng(index)
    row = write_row(tmp_path, OPTIONS, "test_missing", index, rng, scans, spoken, 0, "a voice")
    lacking = {name for name in ("text", "image", "audio") if row[name] == ""}
    assert lacking == set(LACKS[index % 6])
    for name in ("image", "audio"):
        assert len(list((tmp_path / {"image": "images", "audio": "audio"}[name]).iterdir())) == (name not in lacking)
    seen, heard = row["seen"], row["heard"]
    results = {"add": seen + heard, "distance": abs(seen - heard), "larger": max(seen, heard)}
    results |= {"smaller": min(seen, heard)}
    if row["operation"] in results:
        assert row["answer"] == results[row["operation"]]
    else:
        assert abs(row["answer"]) == abs(seen - heard)
    assert row["value"] == row["answer"] and (row["voice"] == "") == ("audio" in lacking)


def test_a_set_that_is_there_is_kept_and_a_folder_of_something_else_too(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"has no manifest.csv. Delete it, or name another place with data.folder=DIR"):
        build_talking_digits(tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "manifest.csv").write_text("as it was")
    assert build_talking_digits(tmp_path, OPTIONS).read_text() == "as it was"


def test_the_card_names_options_and_fingerprint():
    card = dataset_card(OPTIONS)
    assert card["options"]["train"] == 600 and card["fingerprint"] == OPTIONS.fingerprint()
