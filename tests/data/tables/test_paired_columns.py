"""Two columns as one: where it is empty, in copies for workers, and the messages where one of them is missing."""

import json
import pickle

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.derived_columns import Pair
from mmbert.data.tables.paired_columns import pair_of_columns, paired_column, record_column
from mmbert.data.tables.table import Table

ROWS = [("Who?", "Ann"), ("", "Bob"), ("Why?", None), (None, "NA")]


@pytest.fixture
def path(tmp_path):
    splits = ("train", "train", "val", "test")
    rows = [{"question": q, "context": c, "split": s} for (q, c), s in zip(ROWS, splits, strict=True)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "t.jsonl"


def test_a_pair_is_empty_where_its_second_text_is(path):
    table = Table(path)
    table.take_for_empty("NA")
    name = paired_column(table, ("question", "context"))
    for one in (table, pickle.loads(pickle.dumps(table))):
        assert one.empty(name).tolist() == [False, False, True, True]
        assert one.cell(0, name) == {"before": "Who?", "text": "Ann"} and one.cell(2, name) is None
        assert one.column(name)[1]["text"] == "Bob" and one.column(name)[2:] == [None, None]
        assert one.pair_in(name) == ("question", "context") and one.pair_in("context") is None
    assert table.add(Pair("question", "context")) == name and name not in table.column_names
    assert next(table.distinct(name))[1]["before"] == "Who?"


def test_the_encoders_kind_decides_what_two_columns_are(path):
    data = MultimodalData(path, {"text": ["question", "context"], "facts": ["question", "context"], "one": ["context"]})
    kinds = {"text": modality_named("text"), "facts": modality_named("tabular"), "one": modality_named("tabular")}
    data.read_as({**kinds, "known": modality_named("tabular")}, {"known": ["context", "split"]})
    names = {"text": "question + context", "facts": "{question, context}", "one": "{context}"}
    assert {name: data.column_of(name) for name in kinds} == names
    assert data.column_of("known") == "{context, split}"
    assert data.table.cell(0, "{question, context}") == {"question": "Who?", "context": "Ann"}
    with pytest.raises(ConfigError, match="names 3 columns"):
        data.columns["text"] = ["question", "context", "split"]
        data.column_of("text")


def test_a_record_that_cannot_be_is_refused(path):
    table = Table(path)
    assert record_column(table, "facts", ["question", "contxt"]) == "contxt"  # whoever requires it says what is missing
    with pytest.raises(ConfigError, match=r"data.columns.facts=\['split', 'split'\] names 'split' twice"):
        record_column(table, "facts", ["split", "split"])
    with pytest.raises(ConfigError, match="names 'path' and this name is kept"):
        record_column(table, "facts", ["path", "split"])


def test_a_pair_that_cannot_be_is_refused(path):
    with pytest.raises(ConfigError, match="names 3 columns.*read.*question,context"):
        pair_of_columns("text", ["a", "b", "c"])
    with pytest.raises(ConfigError, match="data.columns.split=.* names 2 columns; one is wanted"):
        MultimodalData(path, columns={"split": ["split", "context"]})
    data = MultimodalData(path, columns={"text": ["qestion", "context"]})
    with pytest.raises(DataError, match="no column 'qestion'.*question"):
        data.require_columns(["text"])
    data = MultimodalData(path, columns={"image": ["question", "context"]})

    class Picture:
        kind = "image"

    with pytest.raises(ConfigError, match=r"data.columns.image names two columns \(question \+ context\), but Picture"):
        data.bind({"image": Picture()}, {})
