"""Multi30k: parallel files, packed or not, with pictures where they are; the tokenised copies are not taken."""

import gzip

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.multi30k import Multi30k
from prepared_sets import built, splits_of


@pytest.fixture
def folder(tmp_path):
    raw, tok, lists = (tmp_path / "data/task1" / name for name in ("raw", "tok", "image_splits"))
    for place in (raw, tok, lists, tmp_path / "flickr30k-images"):
        place.mkdir(parents=True)
    for part in ("train", "val", "test_2016_flickr", "test_2017_flickr"):
        for language, text in (("en", "A dog.\nTwo “cats”.\n"), ("de", "Ein Hund.\nZwei Katzen.\n")):
            (raw / f"{part}.{language}.gz").write_bytes(gzip.compress(text.encode()))
            (tok / f"{part}.{language}").write_text("a dog .\n")
        (lists / f"{part}.txt").write_text("1.jpg#0\n2.jpg\n")
    (raw / "val.fr").write_text("Un chien.\nDeux chats.\n")
    Image.new("RGB", (3, 3)).save(tmp_path / "flickr30k-images" / "1.jpg")
    return tmp_path


def test_lines_become_rows_in_all_languages_that_are_there(folder, tmp_path):
    data, rows = built(Multi30k, folder, tmp_path / "home")
    assert splits_of(rows) == {
        "train": ["train-0", "train-1"],
        "val": ["val-0", "val-1"],
        "test": ["test_2016_flickr-0", "test_2016_flickr-1"],
    }
    assert (rows[1]["en"], rows[1]["de"], rows[1]["fr"]) == ("Two “cats”.", "Zwei Katzen.", "")
    assert rows[2]["fr"] == "Un chien."
    assert [bool(row["image"]) for row in rows] == [True, False] * 3
    assert "train: 1 of 2 pictures are not there" in data.notes


def test_files_that_are_not_parallel_are_refused(folder, tmp_path):
    (folder / "data/task1/raw/val.de.gz").write_bytes(gzip.compress(b"Ein Hund.\n"))
    with pytest.raises(DataError, match=r"the files of val are not parallel: {'en': 2, 'de': 1, 'fr': 2} lines"):
        built(Multi30k, folder, tmp_path / "home")
    with pytest.raises(DataError, match="has no file test_2018_flickr.en"):
        (folder / "data/task1/raw/val.de.gz").unlink()
        (folder / "data/task1/raw/val.fr").unlink()
        built(Multi30k, folder, tmp_path / "home", test="test_2018_flickr")
