"""The samples that most runs have wrong: their order, their answers, and how cells are shown."""

import base64
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import ConfigError
from mmbert.reporting.statistics import hardest as module
from mmbert.reporting.statistics.hardest import answer_text, answers_of, cell_of, hardest, shown_as, shown_cell


def write_run(folder, predictions):
    """A run that answers three samples whose labels are a, b and b; ``aab`` is the answers a, a and b."""
    (folder / "predictions").mkdir(parents=True)
    table = {"row": [0, 1, 2], "mood/target": ["a", "b", "b"], "mood/prediction": list(predictions)}
    pd.DataFrame(table).to_parquet(folder / "predictions" / "test.parquet")
    table = folder.parent / "t.csv"
    fingerprint = hashlib.sha256(table.read_bytes()).hexdigest()[:16]
    inputs = {"table": str(table), "encoders": {"text": PART}}
    (folder / "metrics.json").write_text(json.dumps({"inputs": inputs, "data_fingerprint": fingerprint}))
    return folder


PART = {"column": "said", "kind": "text"}


@pytest.fixture
def groups(tmp_path):
    """Three runs of one group and one of another: right are 4, 1 and 3 of 4."""
    (tmp_path / "t.csv").write_text("said\nfirst\nsecond\n")
    runs = [write_run(tmp_path / str(n), given) for n, given in enumerate(("aab", "aab", "abb", "aaa"))]
    return {"concat": runs[:3], "mean": runs[3:]}


def test_the_one_that_fewest_have_right_comes_first(groups):
    first, second = hardest(groups, "test", "mood", 2)
    assert (first.row, first.truth, first.right) == (2, "b", 0.25)
    assert first.answers == {"concat": "a (2 of 3)", "mean": "a"}
    assert first.parts == [("text", "text", "second")]
    assert (second.row, second.right, second.parts) == (3, 0.75, []), "the table has no third row"


def test_samples_are_shown_as_far_as_all_runs_allow(groups):
    (groups["mean"][0] / "config.yaml").write_text("privacy: {mask: [{x: second}]}\n")
    assert hardest(groups, "test", "mood", 1)[0].parts == [("text", "text", "[x]")]
    (groups["concat"][2] / "config.yaml").write_text("privacy: {samples: false}\n")
    (first,) = hardest(groups, "test", "mood", 1)
    assert first.parts == [("samples", "none", "not shown (privacy.samples=false)")]
    assert (first.row, first.truth, first.answers["mean"]) == (2, "b", "a")


def test_without_scores_there_is_none(tmp_path):
    assert hardest({"concat": [tmp_path]}, "test", "mood", 3) == []


def test_only_rows_that_are_asked_for_are_answered(groups):
    assert answers_of(groups["mean"], "test", "mood", [0, 7]) == {0: "a"}


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), ("a b", "a b"), (["x", "y"], "x, y"), (3, "3")])
def test_an_answer_as_it_is_shown(value, text):
    assert answer_text(value) == text


def test_cells_are_shown_as_training_read_them(groups, tmp_path):
    (tmp_path / "t.csv").write_text(" said ;x\nNA;1\n007;2\nnull;3\n")
    fingerprint = hashlib.sha256((tmp_path / "t.csv").read_bytes()).hexdigest()[:16]
    for run in [*groups["concat"], *groups["mean"]]:
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps({**metrics, "data_fingerprint": fingerprint}))
    parts = {sample.row: sample.parts for sample in hardest(groups, "test", "mood", 3)}
    assert parts == {1: [("text", "text", "NA")], 2: [("text", "text", "007")], 3: [("text", "text", "null")]}


def test_a_table_that_cannot_be_read_here_stops_no_report(groups, monkeypatch):
    def fails(*given):
        raise ConfigError("Excel files are read by the extra excel")

    monkeypatch.setattr(module, "read_cells", fails)
    (sample,) = hardest(groups, "test", "mood", 1)
    assert sample.parts == [("samples", "none", "not shown, Excel files are read by the extra excel")]


def test_a_table_that_the_run_has_not_seen_is_not_shown(groups, tmp_path):
    """A metrics.json may name any table of the reader's; only who has its content knows its fingerprint."""
    (tmp_path / "t.csv").write_text("said\nmine\nalone\n")
    (first,) = hardest(groups, "test", "mood", 1)
    assert first.parts == [("samples", "none", "not shown, t.csv is not the table that the run was trained on")]


@pytest.fixture
def media(tmp_path):
    """A table's folder with a picture and a sound in it, and the same beside it."""
    folder = tmp_path / "table"
    folder.mkdir()
    for place in (folder, tmp_path):
        Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(place / "a.png")
        soundfile.write(place / "a.wav", np.zeros(100), 8000)
    return folder


def test_cells_as_the_page_shows_them(media, monkeypatch):
    assert shown_cell("a.png", "image", "image", media).startswith("data:image/png;base64,")
    content = (media / "a.wav").read_bytes()
    assert shown_cell({"bytes": content}, "audio", "audio", media) == (
        f"data:audio/wav;base64,{base64.b64encode(content).decode()}"
    )
    assert shown_cell("gone.png", "image", "image", media) == "not shown, No such file or directory: gone.png"
    assert shown_cell("x.npy", "features", "none", media) == "features, not shown"
    assert [shown_cell(cell, "text", "text", media) for cell in (None, float("nan"), " ")] == ["missing"] * 3
    monkeypatch.setattr(module, "MOST", 2)
    assert shown_cell("a.png", "image", "image", media) == "not shown, 0.0 MiB: a.png"
    assert shown_cell({"bytes": b"abc"}, "image", "image", media) == "not shown, 0.0 MiB: "
    assert shown_cell(b"abc", "image", "image", media) == "not shown, 0.0 MiB: "
    assert shown_cell(b"abc", "text", "text", media) == "3 bytes"


@pytest.mark.parametrize("how", ["image", "audio"])
def test_what_is_no_picture_and_no_sound_is_not_in_the_page(media, how):
    (media / "secret.txt").write_text("the word is swordfish")
    shown = shown_cell("secret.txt", how, how, media)
    assert shown.startswith("not shown, no ") and shown.endswith(": secret.txt")
    assert shown_cell({"bytes": b"swordfish", "path": "a.png"}, how, how, media).startswith("not shown, no ")


@pytest.mark.parametrize("how", ["image", "audio"])
@pytest.mark.parametrize("way", ["absolute", "..", "link", "linked folder"])
def test_a_file_outside_the_tables_folder_is_not_in_the_page(media, how, way):
    name = "a.png" if how == "image" else "a.wav"
    (media / "link").symlink_to(media.parent / name)
    (media / "up").symlink_to(media.parent)
    cell = {"absolute": str(media.parent / name), "..": f"../{name}", "link": "link", "linked folder": f"up/{name}"}[
        way
    ]
    assert shown_cell(cell, how, how, media) == f"not shown, it lies outside the table's folder: {cell}"


def test_a_folder_is_no_file(media):
    (media / "sub").mkdir()
    assert shown_cell("sub", "image", "image", media) == "not shown, it is no file: sub"


def test_runs_of_earlier_versions_are_shown_by_kind():
    assert [shown_as({"kind": kind}) for kind in ("text", "features")] == ["text", "none"]
    assert shown_as({"kind": "features", "shown_as": "audio"}) == "audio"


def test_a_record_is_shown_by_its_columns():
    part = {"column": "age", "columns": ["age", "sex", "town"]}
    assert cell_of(part, {"age": 3, "sex": "", "town": "A"}) == "age: 3\ntown: A"
    assert cell_of(part, {"age": None}) is None
