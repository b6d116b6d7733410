"""Twitter-15 and -17: a picture's number before each tweet, pictures that are not there, invisible words."""

import json

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.twitter_ner import Twitter15, Twitter17
from prepared_sets import built

TWEETS = "IMGID:10\nRT\tO\n@\tO\nAnn\tB-PER\n\ufe0f\tO\n\nIMGID:11\nRome\tI-LOC\n\n"


@pytest.mark.parametrize(("kind", "pictures"), [(Twitter15, "twitter2015_images"), (Twitter17, "twitter2017_images")])
def test_tweets_become_rows(kind, pictures, tmp_path):
    folder = tmp_path / "raw"
    (folder / pictures).mkdir(parents=True)
    Image.new("RGB", (3, 3)).save(folder / pictures / "10.jpg")
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(TWEETS, encoding="utf-8")
    data, rows = built(kind, folder, tmp_path / "home")
    assert [row["split"] for row in rows] == ["train"] * 2 + ["val"] * 2 + ["test"] * 2
    assert rows[0]["text"] == "RT @ Ann" and json.loads(rows[0]["tags"]) == ["O", "O", "B-PER"]
    assert rows[0]["image"] and rows[1]["image"] == "" and json.loads(rows[1]["tags"]) == ["B-LOC"]
    assert any("3 tweets are not there" in note for note in data.notes)
    (folder / "test.txt").write_text("lost\tO\n")
    with pytest.raises(DataError, match="test.txt, line 1: a tweet without a line IMGID:"):
        built(kind, folder, tmp_path / "home")
