"""The samples that most runs have wrong: their order, their answers, and how cells are shown."""

import json

import pandas as pd
import pytest

from mmbert.reporting.statistics import hardest as module
from mmbert.reporting.statistics.hardest import answer_text, answers_of, hardest, read_table, shown_as, shown_cell


def write_run(folder, predictions):
    """A run that answers three samples whose labels are a, b and b; ``aab`` is the answers a, a and b."""
    (folder / "predictions").mkdir(parents=True)
    table = {"row": [0, 1, 2], "mood/target": ["a", "b", "b"], "mood/prediction": list(predictions)}
    pd.DataFrame(table).to_parquet(folder / "predictions" / "test.parquet")
    (folder / "metrics.json").write_text(
        json.dumps({"inputs": {"table": str(folder.parent / "t.csv"), "encoders": {"text": PART}}})
    )
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


def test_without_scores_there_is_none(tmp_path):
    assert hardest({"concat": [tmp_path]}, "test", "mood", 3) == []


def test_only_rows_that_are_asked_for_are_answered(groups):
    assert answers_of(groups["mean"], "test", "mood", [0, 7]) == {0: "a"}


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), ("a b", "a b"), (["x", "y"], "x, y"), (3, "3")])
def test_an_answer_as_it_is_shown(value, text):
    assert answer_text(value) == text


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table_is_read(tmp_path, suffix):
    frame, path = pd.DataFrame({"said": ["x", "y"], "other": ["1", "2"]}), tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert read_table(path, [1, 5], ["said", "said", "gone"]) == {1: {"said": "y"}}


def test_cells_as_the_page_shows_them(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"abc")
    assert shown_cell("a.png", "image", "image", tmp_path) == "data:image/png;base64,YWJj"
    assert shown_cell({"bytes": b"abc"}, "audio", "audio", tmp_path) == "data:audio/wav;base64,YWJj"
    assert shown_cell("gone.png", "image", "image", tmp_path) == "gone.png: No such file or directory"
    assert shown_cell("x.npy", "features", "none", tmp_path) == "features, not shown"
    assert [shown_cell(cell, "text", "text", tmp_path) for cell in (None, float("nan"), " ")] == ["missing"] * 3
    monkeypatch.setattr(module, "MOST", 2)
    assert shown_cell("a.png", "image", "image", tmp_path) == "a.png (0.0 MiB, not shown)"
    assert shown_cell({"bytes": b"abc"}, "image", "image", tmp_path) == "0.0 MiB, not shown"


def test_runs_of_earlier_versions_are_shown_by_kind():
    assert [shown_as({"kind": kind}) for kind in ("text", "features")] == ["text", "none"]
    assert shown_as({"kind": "features", "shown_as": "audio"}) == "audio"
