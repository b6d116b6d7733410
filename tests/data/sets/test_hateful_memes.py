"""Hateful Memes: either phase's files, test files without labels, pictures that are not there."""

import json

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.hateful_memes import HatefulMemes
from prepared_sets import built


def lines(path, *memes):
    path.write_text("\n".join(map(json.dumps, memes)) + "\n\n")


def meme(number, label=None):
    known = {"id": number, "img": f"img/{number:05d}.png", "text": f"text {number}"}
    return known if label is None else known | {"label": label}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "img").mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (3, 3)).save(tmp_path / "img" / f"{number:05d}.png")
    lines(tmp_path / "train.jsonl", meme(1, 0), meme(2, 1))
    lines(tmp_path / "dev_seen.jsonl", meme(3, 1))
    lines(tmp_path / "test_seen.jsonl", meme(4, 0))
    return tmp_path


def test_labels_are_words_and_lost_pictures_are_missing(folder, tmp_path):
    data, rows = built(HatefulMemes, folder, tmp_path / "home")
    assert [(row["split"], row["hateful"]) for row in rows] == [
        ("train", "no"),
        ("train", "yes"),
        ("val", "yes"),
        ("test", "no"),
    ]
    assert rows[3]["image"] == "" and rows[0]["image"].endswith("img/00001.png")
    assert any("1 pictures are not there" in note for note in data.notes)


def test_the_first_release_has_a_test_file_without_labels(folder, tmp_path):
    (folder / "test_seen.jsonl").rename(folder / "test.jsonl")
    lines(folder / "test.jsonl", meme(2))
    assert built(HatefulMemes, folder, tmp_path / "home")[1][3]["hateful"] == ""
    with pytest.raises(DataError, match=r"none of dev_unseen.jsonl and dev.jsonl"):
        built(HatefulMemes, folder, tmp_path / "home", phase="unseen")
