"""docs/your_own_data_set.md, done as it is written, in an empty folder."""

import csv
import json
import runpy

import pytest

from mmbert.core.errors import DataError

PAGE = "your_own_data_set.md"


@pytest.mark.slow
def test_the_page_does_what_it_says(doc_page, tmp_path):
    page = doc_page(PAGE, tmp_path)
    for block in page.blocks:
        if not page.write(block):
            done = page.run(block)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
            assert "warning" not in done.stdout.replace("no warnings", "")
    assert page.ran == ["python", "mmbert-check-data", "mmbert-train"]
    assert json.loads((tmp_path / "outputs" / "dialogues" / "metrics.json").read_text())["test/emotion/accuracy"] >= 0


def test_the_pages_class_makes_its_table_once_and_splits_whole_dialogues(doc_page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = doc_page(PAGE, tmp_path)
    for block in page.blocks:
        page.write(block)
    runpy.run_path("make_dialogues.py")
    module = page.load("my_dialogues")
    options = {"splits": {"train": "train", "val": "val", "test": "test"}}
    options["split"] = {"val": 0.2, "test": 0.2, "group": "dialogue"}
    data = module.Dialogues("dialogues.sqlite", **options)
    rows = list(csv.DictReader((tmp_path / "dialogues-v1.csv").open()))
    assert len(rows) == 54  # of 60 utterances every tenth has no words
    of = {split: {rows[row]["dialogue"] for row in data.rows[split]} for split in ("train", "val", "test")}
    assert sum(len(data.rows[split]) for split in of) == 54
    assert not of["train"] & of["val"] and not of["train"] & of["test"] and not of["val"] & of["test"]
    (tmp_path / "dialogues-v1.csv").write_text("text,emotion,dialogue,speaker\nkept,joy,1,s1\n")
    assert module.table_of(tmp_path / "dialogues.sqlite").read_text().endswith("kept,joy,1,s1\n")
    with pytest.raises(DataError, match="no.sqlite does not exist.*data.path=FILE"):
        module.Dialogues("no.sqlite")
    page.check_train_commands()
