"""data.on_error=skip: what cannot be used is left out, counted and listed, and changes no number of the rest."""

import csv
import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.training.run import run


@pytest.fixture
def spoiled(digits, tmp_path):
    """The tiny demo set with three bad rows: a lost picture (train), a broken sound (test), an empty row (val)."""
    shutil.copytree(digits.parent, tmp_path / "set")
    path = tmp_path / "set" / digits.name
    rows = list(csv.DictReader(path.open()))
    by_split = {name: [i for i, row in enumerate(rows) if row["split"] == name] for name in ("train", "val", "test")}
    lost, broken, empty = by_split["train"][2], by_split["test"][4], by_split["val"][1]
    rows[lost]["image"] = "no/such.png"
    (path.parent / "broken.wav").write_bytes(b"RIFF of nothing")
    rows[broken]["audio"] = "broken.wav"
    rows[empty] |= {"text": "", "image": "", "audio": ""}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path, (lost, broken, empty), by_split


def test_skipped_rows_are_listed_and_the_others_keep_their_predictions(spoiled, compose_tiny, tmp_path, capsys):
    path, (lost, broken, empty), by_split = spoiled
    run(compose_tiny(f"data.path={path}", "data.on_error=skip", "logger=none"), tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert facts["skipped_rows"] == 3
    assert facts["train_rows"] == len(by_split["train"]) - 1 and facts["val_rows"] == len(by_split["val"]) - 1
    listed = list(csv.DictReader((tmp_path / "run" / "skipped.csv").open()))
    assert [int(item["row"]) - 1 for item in listed] == sorted((lost, broken, empty))
    reasons = {int(item["row"]) - 1: item["reason"] for item in listed}
    assert "no file" in reasons[lost] and "no sound" in reasons[broken] and "every modality" in reasons[empty]
    assert "3 rows were skipped" in capsys.readouterr().out

    rows = pq.read_table(tmp_path / "run" / "predictions" / "test.parquet")["row"].to_pylist()
    assert rows == [row for row in by_split["test"] if row != broken]
    table = pq.read_table(tmp_path / "run" / "predictions" / "test.parquet").to_pylist()
    right = [item["seen/target"] == item["seen/prediction"] for item in table if item["seen/target"] is not None]
    assert facts["test/seen/accuracy"] == pytest.approx(sum(right) / len(right))


def test_without_it_each_of_them_is_an_error(spoiled, compose_tiny, tmp_path):
    path, _, _ = spoiled
    with pytest.raises(DataError, match="on_error=skip"):
        run(compose_tiny(f"data.path={path}", "logger=none"), tmp_path / "run")


def test_rows_with_labels_that_no_task_can_use_are_left_out_and_nothing_is_learnt_from_them(
    digits, compose_tiny, tmp_path
):
    shutil.copytree(digits.parent, tmp_path / "set")
    rows = list(csv.DictReader(digits.open()))
    by_split = {name: [i for i, row in enumerate(rows) if row["split"] == name] for name in ("train", "val", "test")}
    odd = {"train": ("value", "many"), "val": ("operation", "divide"), "test": ("properties", '["a", ')}
    for split, (column, cell) in odd.items():
        rows[by_split[split][3]][column] = cell
    path = tmp_path / "set" / "odd_labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    options = [f"data.path={path}", "logger=none", "trainer.max_epochs=1"]
    # of several the first task's is named, with its row
    with pytest.raises(DataError, match=r"row \d+ \(line \d+\), column 'operation': the label 'divide'"):
        run(compose_tiny(*options), tmp_path / "raise")
    run(compose_tiny(*options, "data.on_error=skip"), tmp_path / "skip")
    facts = json.loads((tmp_path / "skip" / "metrics.json").read_text())
    assert facts["skipped_rows"] == 3
    assert {split: facts[f"{split}_rows"] for split in odd} == {split: len(by_split[split]) - 1 for split in odd}
    listed = {int(item["row"]) - 1: item["reason"] for item in csv.DictReader((tmp_path / "skip/skipped.csv").open())}
    assert sorted(listed) == sorted(by_split[split][3] for split in odd)
    assert all(odd[split][0] in listed[by_split[split][3]] for split in odd)
    values = [float(rows[i]["value"]) for i in by_split["train"] if rows[i]["value"] != "many"]
    model = json.loads((tmp_path / "skip" / "model" / "config.json").read_text())
    assert json.dumps(model).count(json.dumps(sum(values) / len(values))[:8])  # the mean of the others


class Tagged:
    """Needs the text's alignment, and refuses what is longer than its words."""

    kind, columns, aligned_to, changes_inputs = "tagging", ("tags",), ("text",), ()
    aligned_kinds, input_columns = ("text",), ()

    def encode(self, cells, prepared, draw=None):
        if cells["tags"] is not None and len(cells["tags"].split()) != len(prepared["text"]["words"]):
            raise DataError("it has the wrong length")
        return cells["tags"]

    def check_label(self, cells, raws):
        """Only its tokens show it."""

    def collate(self, targets):
        return {"there": torch.tensor([target is not None for target in targets])}


def test_a_label_that_only_its_text_shows_to_be_wrong_is_skipped_as_an_unreadable_sample_is(tmp_path):
    rows = ["a b,X Y", "a b c,X", "d,Z"]
    lines = [f"{row},{split}" for split in ("train", "val") for row in rows]
    (tmp_path / "t.csv").write_text("text,tags,split\n" + "\n".join(lines) + "\n")

    class Words(Texts):
        def alignment(self, raw):
            return {"words": raw.split()}

    def bound(**options):
        data = MultimodalData(tmp_path / "t.csv", splits={"train": "train", "val": "val"}, num_workers=0, **options)
        data.bind({"text": Words()}, {"tags": Tagged()})
        return data.dataset("train")

    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'tags': it has the wrong length"):
        bound()[1]
    dataset = bound(on_error="skip")
    samples = [dataset[place] for place in range(3)]
    assert [sample.row for sample in samples] == [0, -1, 2]
    assert [sample.targets["tags"] for sample in samples] == ["X Y", None, "Z"]
    ((row, reason),) = samples[1].skipped
    assert row == 1 and "column 'tags': it has the wrong length" in reason


class Texts:
    """A processor that cannot read some texts."""

    kind = "text"

    def prepare(self, raw):
        if raw.startswith("bad"):
            raise DataError("it is bad")
        return raw

    def collate(self, prepared):
        return {"mask": torch.ones(len(prepared), 1, dtype=torch.bool)}


def connected(tmp_path, texts, **options):
    lines = [f"{text},{split}" for split in ("train", "val", "test") for text in texts]
    (tmp_path / "t.csv").write_text("text,split\n" + "\n".join(lines) + "\n")
    data = MultimodalData(tmp_path / "t.csv", on_error="skip", num_workers=0, **options)
    data.bind({"text": Texts()}, {})
    return data


def test_the_next_readable_sample_stands_in_and_counts_nowhere(tmp_path):
    dataset = connected(tmp_path, ["a", "bad1", "bad2", "b"]).dataset("test")
    samples = [dataset[place] for place in range(4)]
    assert [sample.prepared["text"] for sample in samples] == ["a", "b", "b", "b"]
    assert [sample.row for sample in samples] == [8, -1, -1, 11]
    assert [[row for row, _ in sample.skipped] for sample in samples] == [[], [9], [10], []]
    last = connected(tmp_path, ["a", "bad1"]).dataset("test")
    assert last[1].prepared["text"] == "a"


def test_batches_carry_what_was_skipped(tmp_path):
    (batch,) = connected(tmp_path, ["a", "bad1", "b"], batch_size=3).loader("val")
    assert batch.rows.tolist() == [3, -1, 5]
    assert [row for row, _ in batch.to("cpu").skipped] == [4]


def test_a_split_of_which_nothing_can_be_read_is_an_error(tmp_path):
    dataset = connected(tmp_path, ["bad1", "bad2"]).dataset("train")
    with pytest.raises(DataError, match="no sample of this split can be read"):
        dataset[0]


def test_dropped_modalities_are_missing_and_rows_without_another_are_left_out(digits):
    from mmbert.data.tables.table import Table

    table = Table(digits)
    data = MultimodalData(
        digits, splits={"test_missing": "test_missing", "train": "train", "val": "val"}, drop=["text"]
    )
    encoders = {name: Texts() for name in ("text", "image", "audio")}
    data.bind(encoders, {})
    alone = [
        row
        for row in table.rows_where("split", "test_missing")
        if all(table.cell(int(row), column) is None for column in ("image", "audio"))
    ]
    assert sorted(data.skipped) == [int(row) for row in alone]
    assert not set(alone) & set(data.rows["test_missing"])


def test_a_table_as_a_whole_needs_no_split_column(tmp_path):
    (tmp_path / "t.csv").write_text("text\na\nb\n")
    data = MultimodalData(tmp_path / "t.csv", only=["all"])
    assert data.test_splits == ["all"] and data.rows["all"].tolist() == [0, 1]


def test_a_label_that_cannot_be_used_is_skipped_and_counted_like_any_other_row(tmp_path):
    rows = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "zz")]
    lines = [f"{text},{label},{split}" for split in ("train", "val", "test") for text, label in rows]
    (tmp_path / "t.csv").write_text("text,label,split\n" + "\n".join(lines) + "\n")
    task = {"kind": Classification(1, "label", ["x", "y"])}
    data = MultimodalData(tmp_path / "t.csv", on_error="skip", num_workers=0)
    data.bind({"text": Texts()}, task)
    assert sorted(data.skipped) == [3, 7, 11] and "column 'label': the label 'zz' is no class" in data.skipped[7]
    assert {split: rows.tolist() for split, rows in data.rows.items()}["val"] == [4, 5, 6]
    with pytest.raises(DataError, match=r"row 4 \(line 5\), column 'label': the label 'zz'.*on_error=skip"):
        MultimodalData(tmp_path / "t.csv", num_workers=0).bind({"text": Texts()}, task)


class Letters(Texts):
    """Also says which token is which letter."""

    def alignment(self, raw):
        return {"word_ids": torch.zeros(len(raw), dtype=torch.int64), "text": raw}


class Lengths(Task):
    """The number of letters, which must be that of the text."""

    aligned_to = ("text",)

    def check_label(self, cells, raws):
        if cells["label"] is not None and "text" in raws and int(cells["label"]) != len(raws["text"]):
            raise DataError(f"'{raws['text']}' has not {cells['label']} letters")

    def encode(self, cells, prepared, draw=None):
        return cells["label"]


def test_labels_that_belong_to_a_text_are_held_against_it_before_training(tmp_path):
    lines = ["text,label,split", "ab,2,train", "abc,4,train", "a,1,val", "a,1,test", "b,,test"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'label': 'abc' has not 4 letters\. Mend the cell"):
        MultimodalData(tmp_path / "t.csv", num_workers=0).bind({"text": Letters()}, {"n": Lengths(1, "label")})
    data = MultimodalData(tmp_path / "t.csv", on_error="skip", num_workers=0)
    data.bind({"text": Letters()}, {"n": Lengths(1, "label")})
    assert data.rows["train"].tolist() == [0] and list(data.skipped) == [1]


def test_batches_carry_what_predictions_in_words_of_the_input_need(tmp_path):
    (tmp_path / "t.csv").write_text("text,label,split\nab,2,train\nabc,3,train\na,1,val\n,1,test\n", "utf-8")
    data = MultimodalData(tmp_path / "t.csv", num_workers=0, only=["all"], columns={"other": "label"})
    data.bind({"text": Letters(), "other": Texts()}, {}, aligned=["text"])
    (batch,) = data.loader("all")
    assert [one and one["text"] for one in batch.to("cpu").alignments["text"]] == ["ab", "abc", "a", None]
    assert batch.alignments["text"][1]["word_ids"].tolist() == [0, 0, 0]
