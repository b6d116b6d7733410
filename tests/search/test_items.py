"""What is searched: files by their endings, cells of a table once each."""

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.search.items import item_value, items_in
from retrieval_model import fill_folder, retrieval_model

ENCODERS = retrieval_model().named_encoders()


def test_a_folder_holds_its_pictures_and_texts_in_order(tmp_path):
    fill_folder(tmp_path / "photos", 3)
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"")
    (tmp_path / "photos" / "sound.wav").write_bytes(b"")  # the model has no ears
    found = items_in(tmp_path / "photos", ENCODERS, {})
    assert [(item.modality, item.name) for item in found] == [
        ("text", "note.txt"),
        ("image", "picture0.png"),
        ("image", "picture2.png"),
        ("image", "deep/picture1.png"),
    ]
    assert item_value(found[0], tmp_path / "photos", ENCODERS) == "a red house"


def test_a_table_gives_each_cell_once_with_its_first_row(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("caption,image\na dog,a.png\na cat,b.png\na dog,b.png\n,\n")
    found = items_in(table, ENCODERS, {"text": "caption"})
    assert [(item.name, item.row) for item in found] == [("a dog", 0), ("a cat", 1), ("a.png", 0), ("b.png", 1)]
    assert item_value(found[2], table, ENCODERS) == str(tmp_path / "a.png")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no such folder or table"):
        items_in(tmp_path / "nowhere", ENCODERS, {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds nothing that the model can read"):
        items_in(tmp_path / "empty", ENCODERS, {})
    table = tmp_path / "t.csv"
    table.write_text("image\na.png\n")
    with pytest.raises(ConfigError, match="has no such modality"):
        items_in(table, ENCODERS, {"sound": "x"})
    with pytest.raises(DataError, match="--column text=COLUMN"):
        items_in(table, ENCODERS, {"text": "caption"})


def test_a_text_in_another_encoding_or_an_empty_one_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.txt").write_text(" \n")
    first, second = items_in(tmp_path, ENCODERS, {})
    with pytest.raises(DataError, match="no text in UTF-8"):
        item_value(first, tmp_path, ENCODERS)
    with pytest.raises(DataError, match="is empty"):
        item_value(second, tmp_path, ENCODERS)
