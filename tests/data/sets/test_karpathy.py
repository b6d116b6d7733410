"""Karpathy's splits: restval trains, a picture's captions stay together, folders of COCO and of Flickr30k."""

import json

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.karpathy import Coco, Flickr30k
from prepared_sets import built, splits_of


def entry(number, split, captions, **more):
    raw = [{"raw": caption, "tokens": caption.split()} for caption in captions]
    return {"filename": f"{number}.jpg", "split": split, "imgid": number, "sentences": raw, **more}


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 3)).save(path)


def test_coco(tmp_path):
    folder = tmp_path / "raw"
    for number, place in ((1, "train2014"), (2, "val2014"), (3, "val2014")):
        picture(folder / place / f"{number}.jpg")
    images = [
        entry(1, "train", ["A  dog.", "Dogs\n"], filepath="train2014"),
        entry(2, "restval", ["A cat."], filepath="val2014"),
        entry(3, "test", ["A cow."], filepath="val2014"),
        entry(4, "val", ["Lost."], filepath="val2014"),
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    data, rows = built(Coco, folder, tmp_path / "home", only=["all"])
    assert splits_of(rows) == {"train": ["1-0", "1-1", "2-0"], "test": ["3-0"]}
    assert [row["text"] for row in rows] == ["A dog.", "Dogs", "A cat.", "A cow."]
    assert rows[0]["image"] == rows[1]["image"] and json.loads(rows[1]["captions"]) == ["A dog.", "Dogs"]
    assert any("1 pictures are not there" in note for note in data.notes)
    assert len(built(Coco, folder, tmp_path / "home", rows_per="picture", only=["all"])[1]) == 3
    images[0]["split"] = "dev"
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    with pytest.raises(DataError, match="entry 1: the split 'dev' is unknown"):
        built(Coco, folder, tmp_path / "home", only=["all"])


def test_flickr30k(tmp_path):
    folder = tmp_path / "raw"
    picture(folder / "flickr30k-images" / "7.jpg")
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"images": [entry(7, "val", ["One.", "Two."])]}))
    _, rows = built(Flickr30k, folder, tmp_path / "home", only=["all"])
    assert [(row["split"], row["picture"]) for row in rows] == [("val", "7.jpg")] * 2
