"""MM-IMDb: 23 genres of 27, films with none of them left out, the first or the longest plot."""

import json

import pytest
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.mm_imdb import MmImdb
from prepared_sets import built, splits_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dataset").mkdir()
    films = {
        "0001": {"plot": ["Short.", "A longer plot."], "genres": ["Drama", "News"], "title": "One", "year": 1999},
        "0002": {"plot": ["Only."], "genres": ["Talk-Show"]},
        "0003": {"genres": ["Sci-Fi", "Film-Noir"], "plot": []},
        "0004": {"plot": "A text.", "genres": ["War"]},
    }
    for name, film in films.items():
        (tmp_path / "dataset" / f"{name}.json").write_text(json.dumps(film))
        Image.new("RGB", (4, 6)).save(tmp_path / "dataset" / f"{name}.jpeg")
    splits = {"test": ["0004"], "train": ["0001", "0002"], "dev": ["0003"]}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    return tmp_path


def test_rare_genres_and_films_with_nothing_else_are_left_out(folder, tmp_path):
    data, rows = built(MmImdb, folder, tmp_path / "home")
    assert splits_of(rows) == {"train": ["0001"], "val": ["0003"], "test": ["0004"]}
    assert [row["genres"] for row in rows] == ["Drama", "Sci-Fi|Film-Noir", "War"]
    assert [row["text"] for row in rows] == ["Short.", "", "A text."]
    assert "1 films with none of the 23 genres are left out" in data.notes
    assert built(MmImdb, folder, tmp_path / "home", plot="longest")[1][0]["text"] == "A longer plot."


def test_plots_that_are_no_texts_are_refused(folder, tmp_path):
    (folder / "dataset" / "0001.json").write_text(json.dumps({"plot": [{"a": 1}], "genres": ["War"]}))
    with pytest.raises(DataError, match="dataset/0001.json: 'plot' is no list of texts"):
        built(MmImdb, folder, tmp_path / "home")
