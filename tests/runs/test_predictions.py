"""A split's predictions: every sample once, in the order of its table, in the labels' own words."""

import json

import numpy as np
import pandas as pd
import pytest

from mmbert.core.errors import InputError
from mmbert.core.privacy import Privacy
from mmbert.runs.predictions import PredictionTable
from mmbert.runs.predictions_file import read_predictions


@pytest.fixture
def table():
    """Rows 2, 0, 1 in two batches, row 0 a second time to fill the last one, and a copy without a row."""
    kinds = {"answer": "classification", "properties": "multilabel", "value": "regression"}
    table = PredictionTable(kinds)

    def answer(p):
        return {"prediction": "3" if p > 0.5 else "5", "probabilities": {"3": p, "5": 1 - p}}

    def properties(even, prime):
        held = [name for name, p in (("even", even), ("prime", prime)) if p > 0.5]
        return {"prediction": held, "probabilities": {"even": even, "prime": prime}}

    table.add(
        [2, 0],
        {
            "answer": [answer(0.75), answer(0.25)],
            "properties": [properties(0.75, 0.25), properties(0.25, 0.25)],
            "value": [{"prediction": 2.5}, {"prediction": 0.5}],
        },
        {"answer": ["5", "3"], "properties": [["even", "prime"], []], "value": [2.0, None]},
    )
    table.add(
        [1, 0, -1],
        {
            "answer": [answer(0.25)] * 3,
            "properties": [properties(0.75, 0.75)] * 3,
            "value": [{"prediction": 1.5}, {"prediction": 0.5}, {"prediction": 9.0}],
        },
        {"answer": [None, "3", None], "properties": [None] * 3, "value": [1.0, None, None]},
    )
    return table


def test_the_file_has_a_row_a_sample_in_order(table, tmp_path):
    table.write(tmp_path / "predictions" / "test.parquet")
    read = pd.read_parquet(tmp_path / "predictions" / "test.parquet", dtype_backend="pyarrow")
    assert read["row"].tolist() == [0, 1, 2]
    assert read["answer/target"].tolist() == ["3", pd.NA, "5"]
    assert read["answer/prediction"].tolist() == ["5", "5", "3"]
    probabilities = pd.DataFrame(read["answer/probabilities"].tolist())  # a column a class
    assert probabilities.columns.tolist() == ["3", "5"]
    assert probabilities.to_numpy() == pytest.approx(np.array([[0.25, 0.75], [0.25, 0.75], [0.75, 0.25]]))
    assert [x if x is pd.NA else list(x) for x in read["properties/target"]] == [[], pd.NA, ["even", "prime"]]
    assert [list(x) for x in read["properties/prediction"]] == [[], ["even", "prime"], ["even"]]
    assert read["value/prediction"].tolist() == [0.5, 1.5, 2.5]
    assert read["value/target"].isna().tolist() == [True, False, False]
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == ["test.parquet"]


def test_labels_and_predictions_of_labelled_samples(table):
    targets, probabilities = table.labelled("answer")
    assert targets.tolist() == [0, 1]  # rows 0 and 2
    assert probabilities == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]]))
    targets, probabilities = table.labelled("properties")
    assert targets.tolist() == [[0, 0], [1, 1]]
    assert probabilities == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.25]]))
    targets, numbers = table.labelled("value")
    assert (targets.tolist(), numbers.tolist()) == ([1.0, 2.0], [1.5, 2.5])


def test_predictions_of_other_kinds_are_kept_as_text_or_json(tmp_path):
    table = PredictionTable({"tags": "tagging", "caption": "generation", "vector": "other", "empty": "other"})
    tags = [{"prediction": ["O", "PER"]}, {"prediction": []}]
    caption = [{"prediction": "a cat"}, {"prediction": "é"}]
    answers = {"tags": tags, "caption": caption, "vector": [{"embedding": [0.5]}, {"embedding": [1.0]}]}
    table.add([0, 1], answers | {"empty": tags}, {name: [None, None] for name in table.tasks} | {"tags": [["O"], None]})
    table.write(tmp_path / "test.parquet")
    read = pd.read_parquet(tmp_path / "test.parquet")
    assert [json.loads(cell) for cell in read["tags/prediction"]] == [["O", "PER"], []]
    assert table.to_arrow()["tags/target"].to_pylist() == ['["O"]', None]
    assert read["caption/prediction"].tolist() == ["a cat", "é"]
    assert json.loads(read["vector/prediction"][1]) == {"embedding": [1.0]}
    assert table.kind("tags") == "tagging" and table.classes("tags") == []
    assert str(table.to_arrow().schema.field("empty/target").type) == "string"  # whatever is in it
    with pytest.raises(InputError, match="'caption', a task of kind 'generation'"):
        table.labelled("caption")


def test_what_quotes_samples_is_masked_or_left_out():
    table = PredictionTable({"mood": "classification", "said": "generation", "tags": "tagging"}, ["mood", "said"])
    mood = [{"prediction": "a@b.org", "probabilities": {"a@b.org": 1.0}}] * 2
    said = [{"prediction": "by a@b.org"}, {"prediction": None}]
    tags = [{"prediction": ["O"]}] * 2
    targets = {"mood": ["a@b.org", None], "said": [["x", "c@d.org"], "y"], "tags": [["O"], None]}
    table.add([1, 0], {"mood": mood, "said": said, "tags": tags}, targets)
    before = table.to_arrow()
    masked, withheld = table.private(Privacy(mask=["email"])).to_arrow(), table.private(Privacy(False)).to_arrow()
    assert masked["said/target"].to_pylist() == ["y", '["x", "[email]"]']
    assert masked["said/prediction"].to_pylist() == [None, "by [email]"]
    assert withheld["said/target"].to_pylist() == withheld["said/prediction"].to_pylist() == [None, None]
    for other in (masked, withheld):  # a class is a class, whatever it looks like
        assert other.drop(["said/target", "said/prediction"]) == before.drop(["said/target", "said/prediction"])
    assert table.to_arrow() == before and table.private(Privacy()) is table


def test_the_first_samples_for_a_tracker(table):
    first, second = table.records(2)
    assert first == {
        "row": 0,
        "answer/target": "3",
        "properties/target": [],
        "value/target": None,
        "answer/prediction": "5",
        "properties/prediction": [],
        "value/prediction": 0.5,
    }
    assert second["row"] == 1
    assert len(table) == 3 and len(table.records(99)) == 3


def test_one_process_gathers_nothing(table):
    assert table.gather() is table and table.rows == [0, 1, 2]


def test_all_processes_end_with_all_samples_once(monkeypatch):
    """What another rank holds arrives through all_gather_object, a padded copy among it."""
    mine, other = (PredictionTable({"t": "classification"}) for _ in range(2))
    for table, rows, word in ((mine, (0, 2), "a"), (other, (1, 0), "b")):
        for row in rows:
            table.add([row], {"t": [{"prediction": word, "probabilities": {"a": 0.75, "b": 0.25}}]}, {"t": ["a"]})

    def all_gather_object(parts, own):
        parts[:] = [own, (other._rows, other._columns)]

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", all_gather_object)
    assert mine.gather().to_arrow().to_pydict()["t/prediction"] == ["a", "b", "a"]
    assert mine.rows == [0, 1, 2]


def test_samples_with_nothing_to_judge_have_no_probabilities(tmp_path):
    """As of matching, where a sample is a picture alone; the first of a batch, the last, and all of one."""
    table, pair = (
        PredictionTable({"m": "matching"}),
        {"prediction": "match", "probabilities": {"no": 0.25, "yes": 0.75}},
    )
    alone = {"prediction": None, "probabilities": None}
    table.add([3, 0], {"m": [alone, pair]}, {"m": [None, "match"]})
    table.add([1, 2], {"m": [alone, alone]}, {"m": [None, None]})
    table.write(tmp_path / "test.parquet")
    read = read_predictions(tmp_path / "test.parquet")
    assert read["m/prediction"].notna().tolist() == [True, False, False, False]
    assert read["m/probabilities"].tolist() == [{"no": 0.25, "yes": 0.75}, None, None, None]
    table = PredictionTable({"m": "matching"})
    table.add([0], {"m": [alone]}, {"m": [None]})
    assert table.to_arrow().column_names == ["row", "m/target", "m/prediction"]
